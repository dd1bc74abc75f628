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

  const JournalForm = later('journal', 'JournalForm'), KioskViews = later('kiosk', 'KioskViews');
  N.Tools = p => {
    const q = p.labels, can = what => p.may.includes(what);
    const [open, set] = R.useState(''), [told, tell] = R.useState(''), [saving, save] = R.useState(!!N.saving);
    const opener = R.useRef(null), dot = R.useRef(null);
    const show = what => e => { opener.current = e.currentTarget; set(what); };
    const close = () => { set(''); if (opener.current) opener.current.focus(); };
    /* Where somebody is stays in this browser; the map asks only for the tiles of what it shows. */
    const locate = () => navigator.geolocation.getCurrentPosition(({ coords }) => {
      const here = window.L.latLng(coords.latitude, coords.longitude);
      if (!N.map.options.maxBounds.contains(here)) { tell(q['tools.outside']); return; }
      if (dot.current) dot.current.remove();
      dot.current = window.L.circleMarker(here, { radius: 8, color: '#0b1017', weight: 2, fillColor: '#ffd479', fillOpacity: 1, interactive: false }).addTo(N.map);
      N.map.setView(here, Math.max(16, N.map.getZoom()));
      tell(q['tools.here']);
    }, () => tell(q['tools.nolocate']), { maximumAge: 60000, timeout: 15000 });
    const button = (text, props) => h('button', { type: 'button', className: 'btn small', ...props }, text);
    const sheet = what => what && ReactDOM.createPortal(what, document.getElementById('main'));
    return h('details', { id: p.id, className: 'fold tools' }, h('summary', null, q['tools.name']),
      h('div', { className: 'acts' },
        can('watch') ? button(q['tools.watch'], { 'data-watch': 'middle' }) : null,
        can('journal') ? button(q['journal.open'], { id: 'to-journal', onClick: show('journal'), 'aria-haspopup': 'dialog' }) : null,
        can('kiosk') ? button(q['kiosk.open'], { id: 'to-kiosk', onClick: show('kiosk'), 'aria-haspopup': 'dialog' }) : null,
        can('locate') && navigator.geolocation ? button(q['tools.locate'], { onClick: locate, title: q['tools.locatenote'] }) : null),
      can('saving') ? h('div', { className: 'acts' },
        h('label', { className: 'check' }, h('input', { id: 'saving', type: 'checkbox', checked: saving, onChange: e => { save(e.target.checked); N.save(e.target.checked); } }), h('span', null, q['tools.saving'])),
        saving ? button(q['tools.refresh'], { onClick: () => N.lookAgain() }) : null) : null,
      h('p', { className: 'note', role: 'status' }, told),
      sheet(open === 'journal' ? h(JournalForm, { labels: q, kinds: p.kinds, statuses: p.statuses, zone: p.zone, close }) : open === 'kiosk' ? h(KioskViews, { labels: q, close }) : null));
  };

  window.addEventListener('load', () => { if (N.asked('kiosk') === '1') N.bring('kiosk').then(() => N.kiosk.run()); });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.noctule = Object.assign(window.dash_clientside.noctule || {}, {
    usual: scene => (scene && scene.usual) || window.dash_clientside.no_update,
    watched: view => view || window.dash_clientside.no_update,
  });
})();
