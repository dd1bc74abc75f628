/* A second night or scenario beside the one that is shown: under an edge that moves over one map, or on a map of its
   own that keeps the same view. What stands left is the page's own run; the time bar moves both. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const NOTHING = 255;

  /* The frame of the other run at the clock of the one that is shown; a run of one frame is of any clock. */
  function frameOf(scene, label) {
    if (!scene || !scene.frames.length) return -1;
    return scene.frames.length === 1 ? 0 : scene.frames.findIndex(f => f.label === label);
  }
  N.frameOf = frameOf;

  const base = layer => layer.replace(/^(safety|gap)_(?!change).*/, '$1');

  N.late.Compare = p => {
    const q = p.labels, holder = R.useRef(null), second = R.useRef(null), edgeAt = R.useRef(null), current = R.useRef({}), live = R.useRef({});
    const [mode, choose] = R.useState(N.asked('mode') === 'side' ? 'side' : 'swipe');
    const [edge, move] = R.useState(Math.min(100, Math.max(0, parseInt(N.asked('swipe'), 10) || 50)));
    const [layer, take] = R.useState(N.asked('clayer'));
    const [scene, know] = R.useState(null), lately = R.useRef(null);
    lately.current = scene;
    const [, look] = R.useState(0);
    const on = !!p.value && !!p.known;

    R.useEffect(() => {
      const seen = () => look(n => n + 1);
      const back = () => { choose(N.asked('mode') === 'side' ? 'side' : 'swipe'); take(N.asked('clayer')); };
      window.addEventListener('noctule-view', seen);
      window.addEventListener('popstate', back);
      return () => { window.removeEventListener('noctule-view', seen); window.removeEventListener('popstate', back); };
    }, []);

    /* What there is to show: asked for once, and again when tonight goes on. */
    R.useEffect(() => {
      know(null);
      if (!on) return undefined;
      let over = false;
      const ask = () => fetch(`/live/scene?lang=${document.documentElement.lang}&run=${encodeURIComponent(p.run)}`).then(r => (r.ok ? r.json() : null)).then(found => { if (!over && found) know(found); }).catch(() => 0);
      ask();
      if (p.value === 'now') window.addEventListener('noctule-news', ask);
      return () => { over = true; window.removeEventListener('noctule-news', ask); };
    }, [p.run, on]);

    const shown = (N.view && N.view()) || {}, place = frameOf(scene, N.shownLabel), frame = place < 0 ? null : scene.frames[place];
    const plain = (shown.layer || '').replace(/_(sd|lower|upper)$/, '').replace(/^usual_/, '');
    const wanted = scene && scene.layers.includes(layer) ? layer : scene && shown.layer && !scene.layers.includes(plain) ? scene.layers[0] : shown.layer && shown.layer.startsWith('usual_') ? plain : shown.layer;
    const there = !!frame && !!frame.version && scene.layers.includes((wanted || '').replace(/_(sd|lower|upper)$/, ''));
    const next = { layer: wanted, run: frame ? frame.run : '', frame: frame ? (frame.frame === null ? place : frame.frame) : 0, place, version: there ? frame.version : null, simulated: !!scene && scene.simulated.includes((wanted || '').replace(/_(sd|lower|upper)$/, '')) };
    if (JSON.stringify(next) !== JSON.stringify(current.current)) current.current = next;
    const view = current.current;
    const left = `${p.here} ${N.shownLabel || ''}`.trim();
    const right = !scene ? p.name : place < 0 ? `${p.name}: ${q.lacks.replace('{time}', N.shownLabel)}` : !frame.version ? `${p.name} ${frame.label}: ${q.unmapped}` : `${p.name} ${frame.label}${wanted !== shown.layer ? ' · ' + (p.layers.find(o => o.value === base(wanted)) || { label: '' }).label : ''}`;
    const names = R.useRef([]); names.current = [left, right];

    const map = on ? N.map : null;
    /* Where the edge stands, in pixels of the map: the thumb of a slider travels its width less its own. */
    edgeAt.current = box => { const r = box.getBoundingClientRect(), m = map.getContainer().getBoundingClientRect(); return r.left - m.left + 22 + (r.width - 44) * edge / 100; };
    R.useEffect(() => {
      if (!map || !map._mapPane || !N.config) return undefined;
      const L = window.L, config = N.config, own = (live.current = { painted: '' }), main = document.getElementById('main');
      const told = done => { own.painted = `${done.layer}/${done.run}/${done.place}/${done.version}`; };
      const key = one => `${one.layer}/${one.run}/${one.place}/${one.version}`;
      main.dataset.compare = mode;
      const mark = document.createElement('canvas');
      mark.className = 'simulated-mark beside-mark';
      const first = map.getContainer().querySelector('.simulated-mark:not(.beside-mark)');
      let undo = () => 0, values;
      if (mode === 'swipe') {
        if (!map.getPane('beside')) map.createPane('beside').style.zIndex = 250;
        const panes = [map.getPane('tilePane'), map.getPane('beside')];
        panes[1].style.pointerEvents = 'none';
        values = N.kit.valueLayer(L, config, () => current.current, { told, options: { pane: 'beside' } }).addTo(map);
        map.getContainer().appendChild(mark);
        own.clip = () => {
          if (!map._mapPane || !holder.current) return;
          const size = map.getSize(), box = holder.current, at = edgeAt.current(box), a = map.containerPointToLayerPoint([0, 0]), b = map.containerPointToLayerPoint(size), x = a.x + at;
          const cut = (from, to) => `polygon(${from}px ${a.y}px,${to}px ${a.y}px,${to}px ${b.y}px,${from}px ${b.y}px)`;
          panes[0].style.clipPath = cut(a.x, x);
          panes[1].style.clipPath = cut(x, b.x);
          if (first) first.style.clipPath = `inset(0 ${size.x - at}px 0 0)`;
          mark.style.clipPath = `inset(0 0 0 ${at}px)`;
        };
        /* The same picture as the first mark, so that both run on where they meet. */
        own.draw = () => { own.clip(); setTimeout(() => { if (first && live.current === own) { mark.width = first.width; mark.height = first.height; mark.getContext('2d').drawImage(first, 0, 0); } }, 0); };
        map.on('move zoomend viewreset', own.clip).on('resize', own.draw);
        own.draw();
        undo = () => {
          map.off('move zoomend viewreset', own.clip).off('resize', own.draw);
          if (map._mapPane) values.remove();
          for (const pane of panes) pane.style.clipPath = '';
          if (first) first.style.clipPath = '';
        };
      } else {
        const box = second.current, other = (own.map = L.map(box, { zoomControl: false, attributionControl: false, fadeAnimation: false, zoomAnimation: false, minZoom: 11, maxZoom: 18, zoomSnap: .125 }));
        for (const [name, z] of [['over', 300], ['dots', 400]]) other.createPane(name).style.zIndex = z;
        other.getPane('over').style.pointerEvents = other.getPane('dots').style.pointerEvents = 'none';
        map.invalidateSize({ animate: false });
        other.setView(map.getCenter(), map.getZoom(), { animate: false });
        values = N.kit.valueLayer(L, config, () => current.current, { told, options: {} }).addTo(other);
        const under = () => `${config.base[N.ground()]}/{z}/{x}/{y}{r}.png`;
        const ground = L.tileLayer(under(), { tileSize: 256, maxNativeZoom: 17, minZoom: 8, pane: 'over', keepBuffer: 2 }).addTo(other);
        box.appendChild(mark);
        /* Each follows the other; what one was told by the other it does not tell back. */
        let moving = false;
        const follow = (from, to) => () => { if (moving) return; moving = true; to.setView(from.getCenter(), from.getZoom(), { animate: false }); moving = false; };
        const there = follow(map, other), here = follow(other, map);
        map.on('move zoomend', there); other.on('move zoomend', here);
        const ghosts = [map, other].map(one => { const dot = document.createElement('i'); dot.className = 'ghost'; dot.hidden = true; one.getContainer().appendChild(dot); return dot; });
        const tip = document.createElement('div');
        tip.className = 'tip'; tip.hidden = true; box.appendChild(tip);
        const point = (at, e) => { ghosts[at].hidden = false; ghosts[at].style.transform = `translate(${e.containerPoint.x}px,${e.containerPoint.y}px)`; };
        const over = e => point(1, e), gone = () => { ghosts.forEach(dot => { dot.hidden = true; }); tip.hidden = true; };
        const hover = e => {
          point(0, e);
          const lines = own.lines(e.latlng), size = other.getSize(), x = e.containerPoint.x, y = e.containerPoint.y;
          tip.hidden = !lines.length; tip.textContent = lines.join('\n');
          tip.style.transform = `translate(${x > size.x - 260 ? x - 14 - tip.offsetWidth : x + 14}px,${y > size.y - 90 ? y - 56 : y + 14}px)`;
        };
        const read = e => N.pick(e.latlng), enter = e => { if (e.key === 'Enter' && e.target === box) { e.preventDefault(); N.pick(other.getCenter()); } };
        map.on('mousemove', over).on('mouseout', gone);
        other.on('mousemove', hover).on('mouseout', gone).on('click', read);
        box.addEventListener('keydown', enter);
        let ended = false;
        for (const kind of N.view().overlays || []) fetch(`/overlay/${kind}.json?lang=${config.labels.language}`).then(r => (r.ok ? r.json() : null)).then(data => { if (data && !ended) N.kit.dotLayer(L, kind, data).addTo(other); }).catch(() => 0);
        own.draw = () => { other.invalidateSize({ animate: false }); const size = other.getSize(); N.kit.drawMark(mark, config.labels.simulated, L.point(size.x / 2, size.y / 2)); there(); };
        own.dress = () => { ground.setUrl(under()); };
        const sized = new ResizeObserver(own.draw);
        sized.observe(box);
        own.draw();
        undo = () => {
          ended = true; sized.disconnect(); map.off('move zoomend', there).off('mousemove', over).off('mouseout', gone);
          ghosts.forEach(dot => dot.remove()); box.removeEventListener('keydown', enter); other.remove(); tip.remove();
        };
      }
      own.values = values; own.mark = mark;
      own.lines = latlng => {
        const one = N.view(), a = N.readTile(latlng.lat, latlng.lng, one), b = N.readTile(latlng.lat, latlng.lng, current.current);
        const say = (v, found) => (found && v.layer ? N.kit.words(config, v, found[0], found[1]) : '');
        const texts = [say(one, a), say(current.current, b)];
        return texts.some(Boolean) ? texts.map((text, i) => `${names.current[i]}: ${text || q.nothing}`) : [];
      };
      N.beside = {
        busy: () => !!current.current.version && own.painted !== key(current.current),
        told: latlng => own.lines(latlng),
        view: () => current.current,
        ahead: view => values.ahead(view),
        scene: () => lately.current, /* it comes after this was made, and again with the news */
      };
      const dress = () => { if (own.dress) own.dress(); values.refresh(); own.draw(); };
      window.addEventListener('noctule-theme', dress);
      return () => {
        window.removeEventListener('noctule-theme', dress);
        undo(); mark.remove(); delete main.dataset.compare; N.beside = null; live.current = {};
        if (map._mapPane) map.invalidateSize({ animate: false });
      };
    }, [map, mode, on, p.run]);

    R.useEffect(() => { if (live.current.clip) live.current.clip(); }, [edge, mode, map]);
    R.useEffect(() => {
      window.dispatchEvent(new Event('noctule-beside'));
      if (live.current.values) live.current.values.refresh();
      if (live.current.mark) live.current.mark.style.visibility = view.simulated ? 'visible' : 'hidden';
      for (const legend of document.querySelectorAll('#legends > .legend')) legend.classList.toggle('also', on && !!wanted && legend.dataset.layer === base(wanted));
    }, [view, mode, map]);

    const main = document.getElementById('main');
    const slide = e => { const value = +e.target.value; move(value); N.address({ swipe: value }); };
    const spoken = q.edge_text.replace('{here}', left).replace('{there}', right).replace('{share}', edge);
    const labels = [h('span', { key: 'a', className: 'side-a' }, left), h('span', { key: 'b', className: 'side-b' }, right)];
    const over = !on || !main ? null : mode === 'swipe'
      ? h('div', { ref: holder, className: 'swipe', style: { '--edge': edge / 100 } }, h('i', { className: 'edge' }), ...labels,
        h('input', { id: p.id + '-edge', type: 'range', min: 0, max: 100, step: 1, value: edge, 'aria-label': q.edge, 'aria-valuetext': spoken, onChange: slide }))
      : h('div', { className: 'sides' }, ...labels, h('div', { ref: second, className: 'map mapb', tabIndex: 0, role: 'application', 'aria-label': q.second.replace('{there}', p.name) }));
    const set = value => { choose(value); N.address({ mode: value }, true); };
    return h('fieldset', { id: p.id, className: on ? 'compare on' : 'compare' }, h('legend', null, p.legend),
      h('label', { className: 'pick' }, h('span', null, q.with), h('select', { value: p.value, onChange: e => N.go({ compare: e.target.value, ...(e.target.value ? {} : { mode: '', swipe: '', clayer: '' }), t: N.shownAt || '' }) },
        h('option', { value: '' }, q.none), p.options.map(o => h('option', { key: o.value, value: o.value }, o.label)))),
      p.value && !p.known ? h('p', { className: 'note', role: 'status' }, q.gone) : null,
      on ? h('div', { className: 'chips' }, ['swipe', 'side'].map(name => h('label', { key: name, className: name === mode ? 'chip on' : 'chip' },
        h('input', { type: 'radio', name: p.id + '-mode', checked: name === mode, onChange: () => set(name) }), h('span', null, q[name])))) : null,
      on ? h('label', { className: 'pick' }, h('span', null, q.layer), h('select', { value: layer, onChange: e => { take(e.target.value); N.address({ clayer: e.target.value }, true); } },
        h('option', { value: '' }, q.same), p.layers.map(o => h('option', { key: o.value, value: o.value }, o.label)))) : null,
      over ? window.ReactDOM.createPortal(over, main) : null);
  };
})();
