/* Phones: a tray under the map with three stops, and the header's menu. Peek has legend and time, half the layers or the
   place that is read, full all of it. It is dragged, pressed, or moved by keys; what lies under it cannot be reached. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement;
  const N = (window.noctule = window.noctule || {});
  const SMALL = matchMedia('(max-width:700px),(max-height:480px) and (max-width:1000px)'), STOPS = ['peek', 'half', 'full'];
  const SLACK = 7; /* pixels that a finger may slip and still press */

  let last = false;
  N.traylike = () => (N.printing ? last : (last = SMALL.matches && N.asked('embed') !== '1' && N.theme() !== 'projector'));
  const redo = () => { const [, turn] = R.useState(0); return () => turn(n => n + 1); };
  const onChange = (again, act) => {
    for (const [what, name] of [[SMALL, 'change'], [window, 'noctule-theme'], [window, 'resize']]) what[act + 'EventListener'](name, again);
  };

  N.Tray = p => {
    const box = R.useRef(null), strip = R.useRef(null), own = R.useRef({ raised: false }), again = redo();
    const [stop, halt] = R.useState(STOPS.includes(N.asked('tray')) ? N.asked('tray') : 'peek');
    const on = N.traylike(), at = STOPS.indexOf(stop), o = own.current;
    const main = () => box.current && box.current.closest('main');
    const sizes = () => {
      const dock = main().querySelector('.dock'), over = dock.querySelector('.sources'), high = main().clientHeight, head = dock.offsetHeight - (over ? over.offsetHeight : 0);
      return { head, dock: dock.offsetHeight, body: [0, Math.max(120, Math.round(high * .58) - head), high - head] };
    };
    const to = next => {
      if (!STOPS[next] || STOPS[next] === stop) return;
      /* Focus does not stay in what is no longer shown. */
      if (!next && main().querySelector(':is(.panel,.details):focus-within')) box.current.querySelector('button').focus();
      N.address({ tray: next ? STOPS[next] : '' });
      halt(STOPS[next]);
    };
    o.to = to; o.at = at;
    R.useLayoutEffect(() => {
      const here = main();
      if (on) here.dataset.tray = stop; else delete here.dataset.tray;
      const lay = () => {
        if (!here.isConnected || o.from !== undefined || N.printing) return;
        const { dock, body } = sizes();
        here.style.setProperty('--body', on ? body[at] + 'px' : '0px');
        /* What the map is covered by: at full it is not seen, and keeps the place that it had. */
        N.covered = () => (here.isConnected && here.dataset.tray ? dock + body[Math.min(at, 1)] : 0);
        window.dispatchEvent(new Event('noctule-tray'));
      };
      lay();
      const sized = new ResizeObserver(lay);
      for (const part of [here, here.querySelector('.dock')]) sized.observe(part);
      return () => { sized.disconnect(); };
    }, [on, stop]);
    R.useEffect(() => {
      const here = main(), details = here.querySelector('.details'), legends = here.querySelector('#legends');
      /* A place that is read lifts the tray; closing it puts the tray back where it was. */
      const seen = new MutationObserver(() => {
        if (!details.hidden && o.at === 0) { o.raised = true; o.to(1); } else if (details.hidden && o.raised) { o.raised = false; o.to(0); }
      });
      if (details) seen.observe(details, { attributes: true, attributeFilter: ['hidden'] });
      const copy = () => {
        const shown = legends && [...legends.children].find(one => one.dataset.layer === legends.dataset.layer);
        strip.current.replaceChildren(...(shown ? ['.what', '.ramp', '.ticks'].map(part => shown.querySelector(part)).filter(Boolean).map(part => part.cloneNode(true)) : []));
      };
      copy();
      const changed = new MutationObserver(copy);
      if (legends) changed.observe(legends, { attributes: true, childList: true });
      const keys = e => {
        if (e.key !== 'Escape' || e.defaultPrevented || !here.dataset.tray || document.querySelector('header.open, dialog[open]')) return;
        const places = document.getElementById('places');
        if (!o.at || (places && !places.hidden) || (o.at === 1 && !details.hidden)) return; /* those are closed first */
        e.stopPropagation();
        o.to(o.at - 1);
      };
      document.addEventListener('keydown', keys, true);
      onChange(again, 'add');
      return () => { seen.disconnect(); changed.disconnect(); document.removeEventListener('keydown', keys, true); onChange(again, 'remove'); };
    }, []);

    const down = e => { if (on && !e.button) Object.assign(o, { y: e.clientY, start: sizes().body[at], last: [e.clientY, e.timeStamp], fast: 0, slid: false }); };
    const move = e => {
      if (o.y === undefined) return;
      const here = main(), { body } = sizes(), up = o.y - e.clientY;
      if (o.from === undefined) {
        if (Math.abs(up) < SLACK) return;
        o.from = at; here.dataset.slide = '';
        box.current.setPointerCapture(e.pointerId);
      }
      if (e.timeStamp > o.last[1]) o.fast = (o.last[0] - e.clientY) / (e.timeStamp - o.last[1]);
      o.last = [e.clientY, e.timeStamp];
      o.now = Math.min(body[2], Math.max(0, o.start + up));
      here.style.setProperty('--body', o.now + 'px');
    };
    const up = () => {
      if (o.from === undefined) { o.y = undefined; return; }
      const here = main(), { body } = sizes(), aim = o.now + 160 * o.fast; /* where a throw would carry it */
      let next = body.reduce((best, high, i) => (Math.abs(high - aim) < Math.abs(body[best] - aim) ? i : best), 0);
      if (next === at && Math.abs(o.fast) > .4) next = Math.min(2, Math.max(0, at + Math.sign(o.fast)));
      Object.assign(o, { y: undefined, from: undefined, slid: true, raised: false });
      delete here.dataset.slide;
      here.style.setProperty('--body', body[next] + 'px');
      to(next);
      setTimeout(() => { o.slid = false; }, 0); /* the click that ends a drag is none */
    };
    const press = () => { if (!o.slid) { o.raised = false; to((at + 1) % 3); } };
    const keyed = e => { const by = { ArrowUp: 1, ArrowDown: -1 }[e.key]; if (by) { e.preventDefault(); o.raised = false; to(at + by); } };
    return h('div', { id: p.id, ref: box, className: 'grip', hidden: !on, onPointerDown: down, onPointerMove: move, onPointerUp: up, onPointerCancel: up },
      h('button', { id: 'tray-handle', type: 'button', className: 'handle', 'aria-expanded': at > 0, 'aria-controls': 'panel', 'aria-label': p.labels[stop], onClick: press, onKeyDown: keyed }, h('i')),
      h('div', { ref: strip, className: 'strip', role: 'group', 'aria-label': p.labels.legend, onClick: () => { if (!at) press(); } }));
  };

  /* On a phone pages, role, theme and language wait behind one button. */
  N.Menu = p => {
    const button = R.useRef(null);
    const [open, set] = R.useState(false);
    R.useEffect(() => {
      button.current.closest('header').classList.toggle('open', open);
      if (!open) return undefined;
      const away = e => {
        if (e.type === 'keydown' ? e.key !== 'Escape' : e.target.closest('header') && !e.target.closest('a[href]')) return;
        if (e.type === 'keydown') button.current.focus();
        set(false);
      };
      for (const name of ['keydown', 'click']) document.addEventListener(name, away);
      return () => { for (const name of ['keydown', 'click']) document.removeEventListener(name, away); };
    }, [open]);
    return h('button', { id: p.id, ref: button, type: 'button', className: 'btn burger', 'aria-expanded': open, 'aria-controls': p.controls, onClick: () => set(!open) }, h('i', { 'aria-hidden': 'true' }), h('span', null, p.label));
  };
})();
