/* What connects the parts without asking the server (clientside callbacks of dashboard/pages/stage.py). */
(function () {
  'use strict';
  const N = (window.noctule = window.noctule || {});
  window.dash_clientside = window.dash_clientside || {};
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  /* The small map beside has a picture for every ground. */
  window.addEventListener('noctule-theme', () => { const small = document.getElementById('gap-picture'); if (small && small.src) small.src = small.src.replace(/\w+\.png$/, N.ground() + '.png'); });

  window.dash_clientside.noctule = Object.assign(window.dash_clientside.noctule || {}, {
    /* scene + step + layer + of whom -> what the map shows, and the gap between groups beside it */
    show(scene, place, base, overlays, of, versus, view, words) {
      const keep = window.dash_clientside.no_update;
      const frame = scene && place !== null && place !== undefined ? scene.frames[place] : null;
      const there = name => !!scene && scene.layers.includes(name);
      const gaps = Object.keys(words.gap), gap = gaps.includes(of) ? of : gaps[0];
      const layer = base === 'gap' ? 'gap_' + gap : base === 'safety' && of !== 'everyone' ? 'safety_' + of : base;
      /* Versus usual: a layer of its own, of everyone; its version says with what it was compared. */
      const unlike = versus && scene && scene.usual.layers.includes('usual_' + base), part = layer + '_' + N.asked('part'), parted = !unlike && (words.parts || []).includes(part) && there(layer), drawn = unlike ? 'usual_' + base : parted ? part : layer, mark = unlike ? 'u' + scene.usual.digest : '';
      const next = { layer: drawn, overlays: overlays || [], place: place === undefined ? null : place, simulated: !!scene && scene.simulated.includes(parted ? layer : drawn) };
      const has = scene && (!scene.layers.length || scene.layers.includes(layer));
      if (frame) Object.assign(next, { run: frame.run, frame: frame.frame === null ? place : frame.frame, version: has && frame.version ? frame.version + mark : null });
      for (const link of document.querySelectorAll('.exports a[data-format]')) {
        const to = new URL(link.href);
        if (to.searchParams.has('layer')) to.searchParams.set('layer', layer);
        if (frame && frame.version && to.searchParams.has('step')) to.searchParams.set('step', frame.at);
        link.href = to;
      }
      N.shownAt = frame ? frame.at : '';
      N.shownLabel = frame ? frame.label : '';
      N.wanted = frame && has ? `${drawn}/${frame.run}/${place}/${frame.version + mark}` : '';
      N.busy = () => (!!N.wanted && N.stats.painted !== N.wanted && N.stats.missed !== N.wanted) || !!(N.beside && N.beside.busy());
      if (scene && N.playing && N.ahead) {
        const after = scene.frames[place + 1];
        if (after && after.version) setTimeout(() => N.ahead({ ...next, run: after.run, frame: after.frame === null ? place + 1 : after.frame, version: after.version + mark }), 50);
      }
      const offered = scene && scene.layers.length ? words.options.filter(o => o.value !== 'residents' || there('safety_residents')).map(o => o.value === 'everyone' || there('safety_' + o.value) ? o : { ...o, disabled: true, label: o.label + ' · ' + words.missing }) : keep;
      const shown = frame && frame.version && there('gap_' + gap);
      const picture = shown ? `/inset/gap_${gap}/${frame.run}/${next.frame}/${frame.version}/${N.ground()}.png` : '';
      const key = unlike || (parted && part.endsWith('_sd')) ? drawn : base;
      return [same(next, view) ? keep : next, key, base === key || unlike ? key : base, offered, picture, words.gap[gap], shown ? words.gap[gap] + '. ' + words.beside : words.none];
    },
    /* Another part of the layer stands in the address; the same scene is drawn once more. */
    part(_, scene) { return scene ? { ...scene } : window.dash_clientside.no_update; },
    gap() { N.address({ layer: 'gap' }, true); return 'gap'; },
    /* scene -> title, banner, the two clocks and the status line */
    tell(scene, trouble, follow, place, labels) {
      const keep = window.dash_clientside.no_update;
      if (!scene) return [keep, keep, keep, keep, trouble ? labels[trouble] : '', 'status', keep];
      const w = scene.words, kind = trouble ? 'trouble' : scene.alert ? 'stale' : scene.state;
      const frame = scene.frames[place], back = frame && (scene.live !== null ? !follow && place !== scene.live : w.status === labels.replay), quiet = trouble === 'saving';
      const moment = () => new Intl.DateTimeFormat(document.documentElement.lang.replace('en', 'en-GB'), { timeZone: scene.clock.zone, weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(frame.at));
      const status = scene.alert || !back ? w.status : labels.replay + ' · ' + moment();
      return [w.title, w.banner, w.sensors, w.answers, quiet ? status + ' · ' + labels.saving : trouble ? labels[trouble] : status, 'status ' + (quiet ? '' : kind === 'live' && back ? 'replay' : kind), scene];
    },
    leave() { const button = document.getElementById('to-table'); if (button) button.focus(); return true; },
    close() { N.address({ at: '' }); return null; },
  });
})();
