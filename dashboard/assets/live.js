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
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.noctule = Object.assign(window.dash_clientside.noctule || {}, {
    usual: scene => (scene && scene.usual) || window.dash_clientside.no_update,
  });
})();
