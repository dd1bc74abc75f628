/* Playing a night: speed, single steps, a stretch that repeats, hours to jump to, and the next steps fetched before they
   are shown. It works on the time bar, which tells what it has in `window.noctule.bar`. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const SPEEDS = [1, 2, 4, 8], AHEAD = 6, AT_ONCE = 2;

  const speed = () => (SPEEDS.includes(+N.asked('speed')) ? +N.asked('speed') : 1);
  const stretch = () => {
    const match = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(N.asked('loop')), frames = N.bar ? N.bar.frames : [];
    if (!match) return null;
    const from = frames.findIndex(f => f.label === match[1]), to = frames.findIndex(f => f.label === match[2]);
    return from >= 0 && to > from ? [from, to] : null;
  };
  /* The step after one: within the stretch if there is one, which begins again at its end. */
  const after = (mapped, value) => {
    const loop = stretch();
    if (!loop) return mapped.find(i => i > value);
    const inside = mapped.filter(i => i >= loop[0] && i <= loop[1]);
    return inside.length ? inside.find(i => i > value) ?? inside[0] : mapped.find(i => i > value);
  };

  /* Steps to come, a few ahead and two requests at once, so that a play neither waits nor storms. */
  let queue = [], running = 0;
  N.fetching = { most: 0 };
  const work = () => {
    while (running < AT_ONCE && queue.length) {
      running += 1;
      N.fetching.most = Math.max(N.fetching.most, running);
      queue.shift()().catch(() => 0).then(() => { running -= 1; work(); });
    }
  };
  const look = () => {
    queue = [];
    const bar = N.bar;
    if (!bar || !N.playing || document.hidden || !N.view) return;
    const view = N.view(), wanted = [];
    for (let value = bar.value, i = 0; i < AHEAD; i++) {
      value = after(bar.mapped, value);
      if (value === undefined || wanted.includes(value)) break;
      wanted.push(value);
    }
    /* What a version is compared with stands behind it (versus usual). */
    const shown = bar.frames[view.place], mark = shown && view.version ? view.version.slice((shown.version || '').length) : '';
    for (const place of wanted) {
      const f = bar.frames[place];
      queue.push(() => N.ahead({ ...view, run: f.run, frame: f.frame === null ? place : f.frame, version: f.version + mark }));
      const beside = N.beside, scene = beside && beside.scene(), other = scene ? N.frameOf(scene, f.label) : -1;
      if (other >= 0 && scene.frames[other].version) queue.push(() => beside.ahead({ ...beside.view(), run: scene.frames[other].run, frame: scene.frames[other].frame === null ? other : scene.frames[other].frame, version: scene.frames[other].version }));
    }
    work();
  };

  N.late.TimeTools = p => {
    const q = p.labels, [, draw] = R.useState(0), again = () => draw(n => n + 1);
    R.useEffect(() => {
      N.pace = () => 1000 / speed();
      N.after = after;
      const seen = () => { again(); look(); };
      const keys = e => {
        const map = e.target.classList && e.target.classList.contains('map');
        if (e.ctrlKey || e.metaKey || e.altKey || !(map || e.target === document.body) || !N.bar) return;
        /* On the map the arrows move the map, so comma and full stop step there as well. */
        const by = e.key === ',' || (!map && e.key === 'ArrowLeft') ? -1 : e.key === '.' || (!map && e.key === 'ArrowRight') ? 1 : 0;
        if (by) { e.preventDefault(); N.bar.step(by); }
      };
      window.addEventListener('noctule-view', seen);
      window.addEventListener('noctule-bar', again);
      window.addEventListener('popstate', again);
      document.addEventListener('keydown', keys);
      document.addEventListener('visibilitychange', look);
      again();
      return () => {
        N.pace = N.after = null; queue = [];
        window.removeEventListener('noctule-view', seen); window.removeEventListener('noctule-bar', again); window.removeEventListener('popstate', again);
        document.removeEventListener('keydown', keys); document.removeEventListener('visibilitychange', look);
      };
    }, []);
    const bar = N.bar, place = document.getElementById('time');
    if (!bar || !bar.frames.length || !place) return null;
    const loop = stretch(), labels = bar.frames.map(f => f.label), set = changes => { N.address(changes); again(); };
    const pick = (label, value, options, change, extra) => h('label', null, h('span', null, label), h('select', { value, onChange: e => change(e.target.value), ...extra }, options.map(o => h('option', { key: o[0], value: o[0] }, o[1]))));
    const clocks = labels.map(text => [text, text]), hours = [['', q.jump_to], ...labels.map((text, i) => [String(i), text]).filter(([, text]) => text.endsWith(':00'))];
    const from = loop ? labels[loop[0]] : '', to = loop ? labels[loop[1]] : '';
    const between = (a, b) => { const x = labels.indexOf(a), y = labels.indexOf(b); set({ loop: x >= 0 && y > x ? `${a}-${b}` : '' }); };
    const most = Math.max(1, ...p.readings);
    const track = place.querySelector('.track'), last = Math.max(1, bar.frames.length - 1);
    const histogram = track && p.readings.length === bar.frames.length ? window.ReactDOM.createPortal(h('div', { className: 'histogram', role: 'img', 'aria-label': q.readings }, p.readings.map((n, i) => h('i', { key: i, className: i === bar.value ? 'on' : '', style: { left: 100 * i / last + '%', height: Math.round(100 * n / most) + '%' } }))), track) : null;
    return h(R.Fragment, null, histogram, window.ReactDOM.createPortal(h('div', { className: 'timetools', title: histogram ? q.readings : undefined, role: 'group', 'aria-label': q.name },
      h('button', { type: 'button', className: 'btn small', 'aria-label': q.back, title: q.back + ' (←)', 'aria-keyshortcuts': 'ArrowLeft', onClick: () => bar.step(-1) }, h('i', { className: 'stepback' })),
      h('button', { type: 'button', className: 'btn small', 'aria-label': q.on, title: q.on + ' (→)', 'aria-keyshortcuts': 'ArrowRight', onClick: () => bar.step(1) }, h('i', { className: 'stepon' })),
      pick(q.speed, String(speed()), SPEEDS.map(n => [String(n), '×' + n]), value => set({ speed: value === '1' ? '' : value }), { id: 'speed' }),
      pick(q.jump, '', hours, value => value && bar.move(bar.nearest(+value), false), { id: 'jump' }),
      pick(q.from, from, [['', q.no], ...clocks.slice(0, -1)], value => between(value, to && labels.indexOf(to) > labels.indexOf(value) ? to : labels[labels.length - 1]), { id: 'loop-from' }),
      loop ? pick(q.to, to, clocks.slice(loop[0] + 1), value => between(from, value), { id: 'loop-to' }) : null), place));
  };
})();
