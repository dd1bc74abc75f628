/* What connects the parts without asking the server (clientside callbacks of dashboard/pages/stage.py). */
(function () {
  'use strict';
  const N = (window.noctule = window.noctule || {});
  window.dash_clientside = window.dash_clientside || {};
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  window.dash_clientside.noctule = {
    /* scene + step + layer -> what the map shows */
    show(scene, place, layer, overlays, view) {
      const frame = scene && place !== null && place !== undefined ? scene.frames[place] : null;
      const next = { layer, overlays: overlays || [], place: place === undefined ? null : place, simulated: !!scene && scene.simulated.includes(layer) };
      const has = scene && (!scene.layers.length || scene.layers.includes(layer));
      if (frame) Object.assign(next, { run: frame.run, frame: frame.frame === null ? place : frame.frame, version: has ? frame.version : null });
      for (const link of document.querySelectorAll('.exports a[data-format]')) {
        const to = new URL(link.href);
        if (to.searchParams.has('layer')) to.searchParams.set('layer', layer);
        if (frame && frame.version && to.searchParams.has('step')) to.searchParams.set('step', frame.at);
        link.href = to;
      }
      N.wanted = frame && has ? `${layer}/${frame.run}/${place}/${frame.version}` : '';
      N.busy = () => !!N.wanted && N.stats.painted !== N.wanted;
      if (scene && N.playing && N.ahead) {
        const after = scene.frames[place + 1];
        if (after && after.version) setTimeout(() => N.ahead({ ...next, run: after.run, frame: after.frame === null ? place + 1 : after.frame, version: after.version }), 50);
      }
      return [same(next, view) ? window.dash_clientside.no_update : next, layer];
    },
    /* scene -> title, banner, the two clocks and the status line */
    tell(scene, trouble, follow, labels) {
      const keep = window.dash_clientside.no_update;
      if (!scene) return [keep, keep, keep, keep, trouble ? labels[trouble] : '', 'status', keep];
      const w = scene.words, kind = trouble ? 'trouble' : scene.alert ? 'stale' : scene.state;
      return [w.title, w.banner, w.sensors, w.answers, trouble ? labels[trouble] : w.status, 'status ' + kind, scene];
    },
    close() { N.address({ at: '' }); return null; },
  };
})();
