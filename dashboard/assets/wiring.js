/* What connects the parts without asking the server (clientside callbacks of dashboard/pages/stage.py). */
(function () {
  'use strict';
  const N = (window.noctule = window.noctule || {});
  window.dash_clientside = window.dash_clientside || {};
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  window.dash_clientside.noctule = {
    /* scene + step + layer + of whom -> what the map shows, and the gap between groups beside it */
    show(scene, place, base, overlays, of, view, words) {
      const keep = window.dash_clientside.no_update;
      const frame = scene && place !== null && place !== undefined ? scene.frames[place] : null;
      const there = name => !!scene && scene.layers.includes(name);
      const gaps = Object.keys(words.gap), gap = gaps.includes(of) ? of : gaps[0];
      const layer = base === 'gap' ? 'gap_' + gap : base === 'safety' && of !== 'everyone' ? 'safety_' + of : base;
      const next = { layer, overlays: overlays || [], place: place === undefined ? null : place, simulated: !!scene && scene.simulated.includes(layer) };
      const has = scene && (!scene.layers.length || scene.layers.includes(layer));
      if (frame) Object.assign(next, { run: frame.run, frame: frame.frame === null ? place : frame.frame, version: has ? frame.version : null });
      for (const link of document.querySelectorAll('.exports a[data-format]')) {
        const to = new URL(link.href);
        if (to.searchParams.has('layer')) to.searchParams.set('layer', layer);
        if (frame && frame.version && to.searchParams.has('step')) to.searchParams.set('step', frame.at);
        link.href = to;
      }
      N.shownAt = frame ? frame.at : '';
      N.shownLabel = frame ? frame.label : '';
      N.wanted = frame && has ? `${layer}/${frame.run}/${place}/${frame.version}` : '';
      N.busy = () => (!!N.wanted && N.stats.painted !== N.wanted) || !!(N.beside && N.beside.busy());
      if (scene && N.playing && N.ahead) {
        const after = scene.frames[place + 1];
        if (after && after.version) setTimeout(() => N.ahead({ ...next, run: after.run, frame: after.frame === null ? place + 1 : after.frame, version: after.version }), 50);
      }
      const offered = scene && scene.layers.length ? words.options.filter(o => o.value !== 'residents' || there('safety_residents')).map(o => o.value === 'everyone' || there('safety_' + o.value) ? o : { ...o, disabled: true, label: o.label + ' · ' + words.missing }) : keep;
      const shown = frame && frame.version && there('gap_' + gap);
      const picture = shown ? `/inset/gap_${gap}/${frame.run}/${next.frame}/${frame.version}.png` : '';
      return [same(next, view) ? keep : next, base, base, offered, picture, words.gap[gap], shown ? words.gap[gap] + '. ' + words.beside : words.none];
    },
    gap() { N.address({ layer: 'gap' }, true); return 'gap'; },
    /* scene -> title, banner, the two clocks and the status line */
    tell(scene, trouble, follow, labels) {
      const keep = window.dash_clientside.no_update;
      if (!scene) return [keep, keep, keep, keep, trouble ? labels[trouble] : '', 'status', keep];
      const w = scene.words, kind = trouble ? 'trouble' : scene.alert ? 'stale' : scene.state;
      return [w.title, w.banner, w.sensors, w.answers, trouble ? labels[trouble] : w.status, 'status ' + kind, scene];
    },
    leave() { const button = document.getElementById('to-table'); if (button) button.focus(); return true; },
    close() { N.address({ at: '' }); return null; },
  };
})();
