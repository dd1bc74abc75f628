/* What sensors measured less what the map says there, as signed marks and as a table: above, below, or within its
   interval. The sign is a shape and never a colour alone. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const SHAPES = { '1': 'M8 1 15 14H1Z', '-1': 'M8 15 1 2h14Z', '0': 'M8 3a5 5 0 1 0 .01 0Z' };
  const svg = sign => `<svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true"><path d="${SHAPES[sign]}"/></svg>`;

  N.late.Residuals = p => {
    const q = p.labels, [on, turn] = R.useState(N.asked('residuals') === '1'), [found, know] = R.useState(null), [failed, fail] = R.useState(false), [, look] = R.useState(0);
    R.useEffect(() => {
      const seen = () => look(n => n + 1), back = () => turn(N.asked('residuals') === '1');
      window.addEventListener('noctule-view', seen);
      window.addEventListener('popstate', back);
      return () => { window.removeEventListener('noctule-view', seen); window.removeEventListener('popstate', back); };
    }, []);
    R.useEffect(() => {
      if (!on) return undefined;
      let over = false;
      know(null); fail(false);
      fetch(`/residuals?night=${p.night}&lang=${document.documentElement.lang}`).then(r => (r.ok ? r.json() : Promise.reject(r.status))).then(answer => { if (!over) know(answer); }).catch(() => { if (!over) fail(true); });
      return () => { over = true; };
    }, [on, p.night]);
    const layer = ((N.view && N.view().layer) || '').replace(/^usual_/, '').replace(/_(sd|lower|upper)$/, ''), rows = on && found ? found.rows.filter(row => row.layer === layer) : [], map = N.map;
    R.useEffect(() => {
      if (!map || !map._mapPane || !rows.length) return undefined;
      const pins = rows.slice(0, 400).map(row => {
        const words = document.createElement('span');
        words.textContent = `${row.site}: ${row.amount}`;
        return window.L.marker(row.at, { keyboard: false, icon: window.L.divIcon({ className: 'residual sign' + row.sign, html: svg(row.sign), iconSize: [18, 18] }) }).bindTooltip(words).addTo(map);
      });
      return () => { if (map._mapPane) pins.forEach(pin => pin.remove()); };
    }, [map, found, on, layer]);
    const mark = sign => h('i', { className: 'residual sign' + sign, 'aria-label': q['sign' + sign], role: 'img', dangerouslySetInnerHTML: { __html: svg(sign) } });
    const table = rows.length ? h('div', { className: 'wide', tabIndex: 0, role: 'group', 'aria-label': q.head }, h('table', null, h('thead', null, h('tr', null, [q.site, q.difference, q.steps].map(text => h('th', { key: text, scope: 'col' }, text)))),
      h('tbody', null, rows.map((row, i) => h('tr', { key: i }, h('th', { scope: 'row' }, mark(row.sign), ' ', row.site), h('td', null, row.amount), h('td', null, row.steps)))))) : null;
    return h('div', { id: p.id, className: 'residuals' },
      h('label', { className: 'check' }, h('input', { type: 'checkbox', checked: on, onChange: e => { turn(e.target.checked); N.address({ residuals: e.target.checked ? '1' : '' }, true); } }), h('span', null, q.show)),
      h('p', { className: 'note', role: 'status' }, !on ? q.what : failed ? q.failed : !found ? q.working : rows.length ? found.said : found.rows.length ? q.none : found.said),
      table, rows.length ? h('p', { className: 'note' }, mark(1), ' ', q.sign1, ' ', mark(-1), ' ', q['sign-1'], ' ', mark(0), ' ', q.sign0) : null,
      on && found && found.flags.length ? h('table', null, h('caption', null, q.flags), h('tbody', null, found.flags.map(([name, count]) => h('tr', { key: name }, h('th', { scope: 'row' }, name), h('td', null, count))))) : null);
  };
})();
