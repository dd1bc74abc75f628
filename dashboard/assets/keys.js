/* Keys of the whole page, and the list of them: L shows the next layer, ? the list. Those of one letter can be switched
   off, since people who speak to their computer press them by accident. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement;
  const N = (window.noctule = window.noctule || {});
  const KEPT = 'noctule-keys';
  const allowed = () => { try { return localStorage.getItem(KEPT) !== 'off'; } catch { return true; } };
  const keep = on => { try { if (on) localStorage.removeItem(KEPT); else localStorage.setItem(KEPT, 'off'); } catch { /* asked again next time */ } };

  N.Keys = p => {
    const box = R.useRef(null), [on, set] = R.useState(allowed());
    N.help = () => { if (box.current && !box.current.open) box.current.showModal(); };
    return h(R.Fragment, null,
      h('button', { id: p.id, type: 'button', className: 'btn small', 'aria-haspopup': 'dialog', onClick: N.help }, p.label),
      h('dialog', { ref: box, id: p.id + '-list', className: 'keylist', 'aria-labelledby': p.id + '-title' },
        h('h2', { id: p.id + '-title' }, p.title),
        h('table', null, h('tbody', null, p.rows.map(([keys, what]) => h('tr', { key: what }, h('th', { scope: 'row' }, keys.map((key, i) => h('kbd', { key: i }, key))), h('td', null, what))))),
        h('label', { className: 'check' }, h('input', { type: 'checkbox', checked: on, onChange: e => { keep(e.target.checked); set(e.target.checked); } }), h('span', null, p.letters)),
        h('button', { type: 'button', className: 'btn', onClick: () => box.current.close() }, p.close)));
  };

  document.addEventListener('keydown', e => {
    const free = e.target === document.body || e.target.id === 'main' || (e.target.classList && e.target.classList.contains('map'));
    if (!free || e.ctrlKey || e.metaKey || e.altKey || !allowed()) return;
    if (e.key === '?' && N.help) { e.preventDefault(); N.help(); }
    if (e.key === 'l' || e.key === 'L') {
      const all = [...document.querySelectorAll('#layer input')];
      if (all.length) all[(all.findIndex(one => one.checked) + (e.shiftKey ? all.length - 1 : 1)) % all.length].click();
    }
  });
  /* The way past the header; as a plain link it would write over the place that stands behind the #. */
  document.addEventListener('click', e => {
    const main = e.target.closest && e.target.closest('a.skip') && document.getElementById('main');
    if (!main) return;
    e.preventDefault();
    if (!main.hasAttribute('tabindex')) main.tabIndex = -1;
    main.focus();
  });
})();
