/* The three of Dash's core components that pages use (dashboard/page_scripts.py): the address, a value that is kept with
   the page, and a clock. None shows anything; the bundle that has them has charts and date pickers too. */
(function () {
  'use strict';
  const R = window.React;
  const latest = p => { const now = R.useRef(p); now.current = p; return now; };

  function Location(p) {
    const now = latest(p);
    R.useEffect(() => {
      const tell = () => {
        const changed = {};
        for (const name of ['pathname', 'search', 'hash', 'href']) if (now.current[name] !== window.location[name]) changed[name] = window.location[name];
        if (Object.keys(changed).length) now.current.setProps(changed);
      };
      tell();
      window.addEventListener('popstate', tell);
      return () => window.removeEventListener('popstate', tell);
    }, []);
    return null;
  }

  function Store() { return null; }

  function Interval(p) {
    const now = latest(p);
    R.useEffect(() => {
      if (p.disabled) return undefined;
      const timer = setInterval(() => {
        const { n_intervals: n, max_intervals: most, setProps } = now.current;
        if (most === undefined || most === null || most < 0 || (n || 0) < most) setProps({ n_intervals: (n || 0) + 1 });
      }, p.interval || 1000);
      return () => clearInterval(timer);
    }, [p.interval, p.disabled]);
    return null;
  }

  window.dash_core_components = { Location, Store, Interval };
})();
