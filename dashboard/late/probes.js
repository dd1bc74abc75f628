/* Up to six places through the night: curves in their 90 % interval, values at the step that is shown or pointed at, and
   all of it as a table. The pictures are our own SVG: an axis, lines and areas need no library of a megabyte. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const MOST = 6, WIDE = 420, HIGH = 150, LEFT = 62, RIGHT = 18, TOP = 8, BOTTOM = 20;
  const DASHES = ['', '7 4', '2 4', '10 3 2 3', '12 5', '4 2'];
  const asked = () => N.asked('probes').split(';').filter(Boolean).slice(0, MOST);
  const query = (run, layer, points, more) => `/probes?lang=${document.documentElement.lang}&run=${encodeURIComponent(run)}&layer=${layer}&points=${encodeURIComponent(points.join(';'))}${more || ''}`;

  N.late.Probes = p => {
    const q = p.labels, [points, put] = R.useState(asked), [told, know] = R.useState(null), [other, knowOther] = R.useState(null);
    const [pointed, point] = R.useState(null), [, look] = R.useState(0), [all, unfold] = R.useState(false), [said, say] = R.useState('');
    const shown = (N.view && N.view()) || {}, beside = N.beside ? N.beside.view() : {};
    const run = shown.run === 'now' ? '' : shown.run || '', layer = (shown.layer || '').replace(/^usual_/, '').replace(/_(sd|lower|upper)$/, ''), otherRun = beside.run && beside.run !== 'now' ? beside.run : '', otherLayer = (beside.layer || '').replace(/_(sd|lower|upper)$/, '');

    R.useEffect(() => {
      const seen = () => look(n => n + 1), back = () => put(asked());
      for (const name of ['noctule-view', 'noctule-beside']) window.addEventListener(name, seen);
      window.addEventListener('popstate', back);
      return () => { for (const name of ['noctule-view', 'noctule-beside']) window.removeEventListener(name, seen); window.removeEventListener('popstate', back); };
    }, []);
    const keep = next => { put(next); N.address({ probes: next.join(';') }); };
    const read = (name, of, tell, mine) => {
      if (!points.length || !name || !of) { tell(null); return undefined; }
      let over = false;
      fetch(query(name, of, points)).then(r => (r.ok ? r.json() : Promise.reject(r.status))).then(found => {
        if (over) return;
        tell(found);
        /* The server tells a place by the middle of its cell; the address then says the same. */
        if (mine && found.places.join(';') !== points.join(';')) keep(found.places);
      }).catch(() => { if (!over) tell(null); });
      return () => { over = true; };
    };
    R.useEffect(() => read(run, layer, know, true), [run, layer, points.join(';')]);
    R.useEffect(() => read(otherRun, otherLayer, knowOther, false), [otherRun, otherLayer, points.join(';')]);

    const map = N.map;
    R.useEffect(() => {
      if (!map || !map._mapPane) return undefined;
      const pins = points.map((text, i) => window.L.marker(text.split(',').map(Number), { interactive: false, keyboard: false, icon: window.L.divIcon({ className: 'probe-pin probe-' + (i + 1), html: String(i + 1), iconSize: [22, 22] }) }).addTo(map));
      return () => { if (map._mapPane) pins.forEach(pin => pin.remove()); };
    }, [map, points.join(';')]);

    const add = text => {
      const [lat, lon] = text.split(',').map(Number);
      if (!isFinite(lat) || !isFinite(lon)) return;
      if (points.length >= MOST) { say(q.full); return; }
      say(''); keep([...points, `${lat.toFixed(5)},${lon.toFixed(5)}`]);
    };
    const centre = () => { const c = N.map.getCenter(); add(`${c.lat},${c.lng}`); };
    const details = document.getElementById('details'), at = N.asked('at');
    const adder = details && at ? window.ReactDOM.createPortal(h('button', { type: 'button', className: 'btn small add-probe', disabled: points.length >= MOST, onClick: () => add(N.asked('at')) }, q.add), details) : null;

    const series = told && told.places.length === points.length ? told : null;
    const labels = series ? series.labels : [], last = Math.max(1, labels.length - 1), now = labels.indexOf(N.shownLabel), step = pointed !== null && pointed < labels.length ? pointed : now;
    const x = i => LEFT + i * (WIDE - LEFT - RIGHT) / last, y = v => TOP + (HIGH - TOP - BOTTOM) * (1 - v / 100);
    const line = (values, of) => { let d = '', pen = false; values.forEach((v, i) => { const place = of ? of[i] : i; if (v === null || place < 0) { pen = false; return; } d += `${pen ? 'L' : 'M'}${x(place).toFixed(1)} ${y(v).toFixed(1)}`; pen = true; }); return d; };
    const area = (low, high) => {
      const parts = []; let run = [];
      for (let i = 0; i <= low.length; i++) {
        if (i < low.length && low[i] !== null && high[i] !== null) { run.push(i); continue; }
        if (run.length > 1) parts.push('M' + run.map(k => `${x(k).toFixed(1)} ${y(high[k]).toFixed(1)}`).join('L') + 'L' + run.reverse().map(k => `${x(k).toFixed(1)} ${y(low[k]).toFixed(1)}`).join('L') + 'Z');
        run = [];
      }
      return parts.join('');
    };
    const there = other && series && other.places.length === points.length ? other : null, aligned = there ? there.labels.map(text => labels.indexOf(text)) : null;
    const hover = e => { const box = e.currentTarget.getBoundingClientRect(), i = Math.round(((e.clientX - box.left) / box.width * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * last); point(i >= 0 && i <= last ? i : null); };
    const words = (found, i, text) => { const k = found.labels.indexOf(text); return k < 0 ? '–' : found.words[i][k]; };
    const here = labels[step] || '';
    const svg = series ? h('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, className: 'curves', role: 'img', 'aria-label': q.alt.replace('{layer}', series.title), onMouseMove: hover, onMouseLeave: () => point(null), onClick: () => { if (pointed !== null && N.bar && N.bar.frames[pointed]) N.bar.move(N.bar.nearest(pointed), false); } },
      series.ticks.map(([value, text], i) => h('g', { key: 't' + i }, h('line', { x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value), className: 'grid' }), h('text', { x: LEFT - 6, y: y(value) + 3.5, textAnchor: 'end' }, text))),
      labels.map((text, i) => (text.endsWith(':00') && parseInt(text, 10) % 2 === 0 ? h('text', { key: 'h' + i, x: x(i), y: HIGH - 5, textAnchor: 'middle' }, text) : null)),
      step >= 0 ? h('line', { x1: x(step), x2: x(step), y1: TOP, y2: HIGH - BOTTOM, className: 'cursor' }) : null,
      points.map((_, i) => h('g', { key: i, className: 'probe-' + (i + 1) },
        h('path', { d: area(series.low[i], series.high[i]), className: 'band' }),
        there ? h('path', { d: line(there.value[i], aligned), className: 'line there', strokeDasharray: '1.5 3' }) : null,
        h('path', { d: line(series.value[i]), className: 'line', strokeDasharray: DASHES[i] }),
        (() => { const k = series.value[i].findLastIndex(v => v !== null); return k < 0 ? null : h('text', { x: Math.min(x(k) + 4, WIDE - 10), y: y(series.value[i][k]) + 4, className: 'number' }, i + 1); })()))) : null;
    const table = series ? h('table', null, h('caption', null, here ? q.at.replace('{time}', here) : ''),
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, q.place), h('th', { scope: 'col' }, q.value), there ? h('th', { scope: 'col' }, q.there) : null, h('td', null))),
      h('tbody', null, points.map((text, i) => h('tr', { key: text }, h('th', { scope: 'row' }, h('i', { className: 'swatch probe-' + (i + 1) }, i + 1), ' ', text.replace(',', ', ')), h('td', null, words(series, i, here)), there ? h('td', null, words(there, i, here)) : null,
        h('td', null, h('button', { type: 'button', className: 'drop', 'aria-label': q.drop.replace('{number}', i + 1), title: q.drop.replace('{number}', i + 1), onClick: () => keep(points.filter((_, k) => k !== i)) }, '×')))))) : null;
    const steps = series && all ? h('div', { className: 'wide', tabIndex: 0, role: 'group', 'aria-label': q.steps }, h('table', null, h('thead', null, h('tr', null, h('th', { scope: 'col' }, q.time), points.map((_, i) => h('th', { key: i, scope: 'col' }, i + 1)))),
      h('tbody', null, labels.map((text, k) => h('tr', { key: k }, h('th', { scope: 'row' }, text), points.map((_, i) => h('td', { key: i }, series.words[i][k]))))))) : null;
    const sheet = points.length ? h('section', { className: 'probes', 'aria-label': q.title },
      h('h2', null, series ? q.of.replace('{layer}', series.title) : q.title), series && series.simulated ? h('p', { className: 'simulated' }, series.simulated) : null,
      svg || h('p', { className: 'note' }, q.none), table,
      series ? h('div', { className: 'acts' }, h('button', { type: 'button', className: 'btn small', 'aria-expanded': all, onClick: () => unfold(!all) }, q.steps),
        p.table ? h('a', { className: 'btn small', href: query(run, layer, points, '&format=csv'), download: '' }, q.csv) : null,
        h('button', { type: 'button', className: 'btn small', onClick: () => keep([]) }, q.clear)) : null, steps) : null;
    const main = document.getElementById('main'), narrow = matchMedia('(max-width:700px)').matches;
    return h('fieldset', { id: p.id, className: 'probing' }, h('legend', null, p.legend),
      h('div', { className: 'acts' }, h('button', { type: 'button', className: 'btn small', onClick: centre, disabled: points.length >= MOST }, q.centre), h('span', { role: 'status' }, said || (points.length ? q.count.replace('{count}', points.length).replace('{most}', MOST) : q.how))),
      adder, sheet && (narrow || !main) ? sheet : sheet ? window.ReactDOM.createPortal(sheet, main) : null);
  };
})();
