/* What can be done beside the map: each tool's own script comes when it is opened. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;

  const JournalForm = N.lately('journal', 'JournalForm'), KioskViews = N.lately('kiosk', 'KioskViews');
  N.late.ToolBox = p => {
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
    return h(R.Fragment, null,
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
})();
