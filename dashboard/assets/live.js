/* What Live has beside the stage. Whatever is not needed on every visit comes late (dashboard/late). */
(function () {
  'use strict';
  const R = window.React, h = R.createElement;
  const N = (window.noctule = window.noctule || {});

  /* Versus usual: with too few earlier nights it says so and cannot be chosen. */
  N.Versus = p => {
    N.follows(p, () => N.asked('versus') === 'usual');
    const told = p.scene || { layers: [], words: '' };
    if (!p.label) return null;
    return h('div', { className: 'versus' },
      h('label', { className: 'check' },
        h('input', { id: p.id, type: 'checkbox', checked: !!p.value && !!told.layers.length, disabled: !told.layers.length, 'aria-describedby': p.id + '-told', onChange: e => { N.address({ versus: e.target.checked ? 'usual' : '' }, true); p.setProps({ value: e.target.checked }); } }),
        h('span', null, p.label)),
      h('p', { id: p.id + '-told', className: 'note', hidden: !told.words || !!(told.layers.length && !p.value) }, told.words, p.value && told.layers.length ? ' ' + p.note : ''));
  };

  /* Watched places: their script comes with the first place, or with a link that brings some. */
  const later = (file, name) => { let made; return p => h(made || (made = N.lately(file, name)), p); }; /* parts.js comes after this file */
  const Watched = later('watch', 'Watched');
  N.Watch = p => {
    const [on, set] = R.useState(!!N.kept('places') || !!N.asked('watch'));
    R.useEffect(() => {
      const wanted = e => { if (!on) N.watchWanted = e.detail; set(true); };
      window.addEventListener('noctule-watch', wanted);
      return () => window.removeEventListener('noctule-watch', wanted);
    }, [on]);
    return on ? h(Watched, p) : null;
  };
  document.addEventListener('click', e => {
    const button = e.target.closest && e.target.closest('[data-watch]');
    if (!button || !N.map) return;
    const [lat, lon] = N.asked('at').split(',').map(Number), centre = N.map.getCenter();
    const detail = button.dataset.watch === 'place' && isFinite(lat) && isFinite(lon) && N.asked('at') ? { lat, lon } : { lat: centre.lat, lon: centre.lng };
    window.dispatchEvent(new CustomEvent('noctule-watch', { detail }));
  });

  /* Tools come when their fold is first opened. */
  const ToolBox = later('tools', 'ToolBox');
  N.Tools = p => {
    const [open, set] = R.useState(false);
    return h('details', { id: p.id, className: 'fold tools', onToggle: e => { if (e.target.open) set(true); } }, h('summary', null, p.labels['tools.name']), open ? h(ToolBox, p) : null);
  };

  window.addEventListener('load', () => { if (N.asked('kiosk') === '1') N.bring('kiosk').then(() => N.kiosk.run()); });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.noctule = Object.assign(window.dash_clientside.noctule || {}, {
    usual: scene => (scene && scene.usual) || window.dash_clientside.no_update,
    watched: view => view || window.dash_clientside.no_update,
  });
})();
