/* The lamps on the map of the Plan page, the marks of what is chosen and changed (a shape each, never a colour alone), and
   the tools that choose: by dragging, or by clicks, or by Enter at the cross in the middle of the map. */
(function () {
  'use strict';
  const R = window.React, N = window.noctule, S = N.plan;
  const MOST = 2000, NEAR = 11, STILL = 5;
  let map = null, layer = null, shape = null, points = [], drag = null, dropped = 0;
  const X = lon => (lon + 180) / 360, Y = lat => { const s = Math.sin(lat * Math.PI / 180); return .5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI); };

  function place() {
    const l = S.lamps;
    if (!l.X) { l.X = new Float64Array(l.n); l.Y = new Float64Array(l.n); for (let i = 0; i < l.n; i++) { l.X[i] = X(l.lon[i]); l.Y[i] = Y(l.lat[i]); } }
    return l;
  }

  /* One canvas, a third larger than the screen on every side, drawn again when the map rests: panning costs nothing. */
  function draw() {
    if (!layer || !S.lamps || !map._loaded) return;
    const began = performance.now(), l = place(), canvas = layer.canvas, size = map.getSize(), pad = size.multiplyBy(.33).floor(), corner = map.containerPointToLayerPoint([-pad.x, -pad.y]), wide = size.x + 2 * pad.x, high = size.y + 2 * pad.y, density = Math.min(2, window.devicePixelRatio || 1);
    window.L.DomUtil.setPosition(canvas, corner);
    canvas.width = wide * density; canvas.height = high * density; canvas.style.width = wide + 'px'; canvas.style.height = high + 'px';
    const g = canvas.getContext('2d'), zoom = map.getZoom(), m = 256 * 2 ** zoom, origin = map.getPixelOrigin().add(corner), bits = S.touched(), light = N.ground() === 'light';
    g.scale(density, density);
    const r = zoom >= 17 ? 4.5 : zoom >= 15.5 ? 3.2 : zoom >= 14 ? 2 : 1.3, only = S.shown && S.shown.length < l.n ? new Uint8Array(l.n) : null, marked = [];
    if (only) for (const i of S.shown) only[i] = 1;
    const fills = light ? ['#8a5a00', '#8a5a0055', '#b34700'] : ['#ffe3a3', '#ffe3a340', '#ff9f45'], west = -20, east = wide + 20, south = high + 20, groups = [[], [], []];
    for (let i = 0; i < l.n; i++) {
      const x = l.X[i] * m - origin.x, y = l.Y[i] * m - origin.y;
      if (x < west || x > east || y < -20 || y > south) continue;
      if (S.chosen[i] || bits[i] || i === S.active) marked.push(i, x, y);
      groups[only && !only[i] ? 1 : l.states[i] === '2' ? 2 : 0].push(x, y);
    }
    groups.forEach((at, k) => {
      g.fillStyle = fills[k]; g.beginPath();
      for (let j = 0; j < at.length; j += 2) { if (r < 2) g.rect(at[j] - r, at[j + 1] - r, 2 * r, 2 * r); else { g.moveTo(at[j] + r, at[j + 1]); g.arc(at[j], at[j + 1], r, 0, 7); } }
      g.fill();
      if (k === 2) { g.strokeStyle = light ? '#b34700' : '#ff9f45'; g.lineWidth = 1.5; g.beginPath(); for (let j = 0; j < at.length; j += 2) { const q = r + 3; g.moveTo(at[j] - q, at[j + 1] - q); g.lineTo(at[j] + q, at[j + 1] + q); g.moveTo(at[j] + q, at[j + 1] - q); g.lineTo(at[j] - q, at[j + 1] + q); } g.stroke(); }
    });
    const edge = light ? '#fff' : '#0b1017', ring = light ? '#0a4f9e' : '#6cc7ff', done = light ? '#5b2a86' : '#d9b8ff';
    /* All marks of a kind are one path; of very many the pale edge is left out. */
    const many = marked.length > 9000, twice = (path, colour, width) => { for (const [style, more] of many ? [[colour, 0]] : [[edge, 2.4], [colour, 0]]) { g.strokeStyle = style; g.lineWidth = width + more; g.beginPath(); path(); g.stroke(); } };
    const q = zoom >= 14.5 ? Math.max(5, r + 3) : 3.2, each = (test, path) => () => { for (let j = 0; j < marked.length; j += 3) if (test(marked[j])) path(marked[j + 1], marked[j + 2], marked[j]); };
    twice(each(i => bits[i] & 4, (x, y) => { g.moveTo(x - q, y - q); g.lineTo(x + q, y + q); g.moveTo(x + q, y - q); g.lineTo(x - q, y + q); }), done, 2);
    twice(each(i => bits[i] & 2 && !(bits[i] & 4), (x, y) => { g.moveTo(x, y - q - 2); g.lineTo(x + q + 2, y); g.lineTo(x, y + q + 2); g.lineTo(x - q - 2, y); g.closePath(); }), done, 2);
    twice(each(i => bits[i] & 1, (x, y) => g.rect(x - q, y - q, 2 * q, 2 * q)), done, 1.6);
    if (many) { g.fillStyle = ring; for (let j = 0; j < marked.length; j += 3) if (S.chosen[marked[j]]) g.fillRect(marked[j + 1] - q / 2, marked[j + 2] - q / 2, q, q); } /* rings of thousands would cover one another */
    else twice(each(i => S.chosen[i], (x, y, i) => { const far = q + (bits[i] ? 3 : 0); g.moveTo(x + far, y); g.arc(x, y, far, 0, 7); }), ring, zoom >= 14.5 ? 2.2 : 1.6);
    twice(each(i => i === S.active, (x, y) => { for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { g.moveTo(x + a * (q + 4), y + b * (q + 4)); g.lineTo(x + a * (q + 14), y + b * (q + 14)); } }), light ? '#18202b' : '#fff', 2.4);
    for (const [lon, lat] of S.added()) { const x = X(lon) * m - origin.x, y = Y(lat) * m - origin.y; twice(() => { g.moveTo(x - 7, y); g.lineTo(x + 7, y); g.moveTo(x, y - 7); g.lineTo(x, y + 7); }, done, 2.6); }
    S.drawn = { ms: performance.now() - began, at: performance.now(), of: groups[0].length / 2 + groups[1].length / 2 + groups[2].length / 2 };
  }

  const nearest = (latlng, reach) => {
    const l = place(), m = 256 * 2 ** map.getZoom(), p = map.project(latlng);
    let best = -1, least = reach * reach;
    for (let i = 0; i < l.n; i++) { const d = (l.X[i] * m - p.x) ** 2 + (l.Y[i] * m - p.y) ** 2; if (d < least) { least = d; best = i; } }
    return best;
  };

  /* The shape that is being drawn, in longitude and latitude. */
  const sketch = more => {
    if (shape) { shape.remove(); shape = null; }
    const ring = more ? [...points, more] : points;
    if (map && ring.length) shape = S.tool === 'box' && ring.length > 1 ? window.L.rectangle(ring.map(p => [p[1], p[0]]), { interactive: false, color: '#fff', weight: 2, dashArray: '6 5', fillOpacity: .12 }).addTo(map) : window.L.polyline(ring.map(p => [p[1], p[0]]), { interactive: false, color: '#fff', weight: 2, dashArray: '6 5' }).addTo(map);
    if (S.points !== points.length) { S.points = points.length; S.tell(); }
  };
  S.resetShape = () => { points = []; drag = null; sketch(); };
  S.closeShape = () => { const ring = points; S.resetShape(); if (ring.length > 2) S.choose(S.inside(ring)); };
  const box = (a, b) => { S.resetShape(); S.choose(S.inside([[a[0], a[1]], [b[0], a[1]], [b[0], b[1]], [a[0], b[1]]])); };

  /* A click, or Enter at the middle; whether it was ours. */
  function click(latlng) {
    if (!S.lamps) return false;
    const at = [latlng.lng, latlng.lat];
    if (S.tool === 'box') { if (points.length) box(points[0], at); else { points = [at]; sketch(); } return true; }
    if (S.tool === 'lasso') {
      const first = points[0] && map.latLngToContainerPoint([points[0][1], points[0][0]]), here = map.latLngToContainerPoint(latlng);
      if (points.length > 2 && first.distanceTo(here) < NEAR) S.closeShape();
      else if (points.length < MOST) { points.push(at); sketch(); }
      return true;
    }
    if (S.tool === 'add') { S.addLamp(latlng.lng, latlng.lat); return true; }
    const i = nearest(latlng, S.tool === 'look' ? NEAR : S.tool === 'each' ? 24 : 60);
    if (S.tool === 'look') { if (i < 0) return false; S.activate(i, 'map'); return true; }
    if (i < 0) return true;
    if (S.tool === 'each') { S.active = i; S.activeFrom = 'map'; S.toggle(i); }
    if (S.tool === 'street') { const name = S.word('street', i); S.choose(name ? S.street(name) : [i]); }
    if (S.tool === 'section') { const at = S.lamps.section[i]; S.choose(at < 0 ? [i] : S.all(k => S.lamps.section[k] === at)); }
    return true;
  }

  function attach(next) {
    map = next;
    const L = window.L, canvas = document.createElement('canvas'), box_ = map.getContainer(), hears = [];
    canvas.className = 'leaflet-zoom-hide';
    const pane = map.getPane('plan') || map.createPane('plan');
    pane.style.zIndex = 420; pane.style.pointerEvents = 'none';
    pane.appendChild(canvas);
    layer = { canvas };
    const hear = (target, name, act, options) => { target.addEventListener(name, act, options); hears.push(() => target.removeEventListener(name, act, options)); };
    const ours = e => !e.target.closest('.leaflet-control'), stop = e => { e.stopPropagation(); e.stopImmediatePropagation(); };
    const at = e => map.mouseEventToLatLng(e);
    const drawing = () => S.tool === 'box' || S.tool === 'lasso';
    /* While a shape is drawn the map does not move: Leaflet never hears of the press. */
    for (const name of ['mousedown', 'touchstart']) hear(box_, name, e => { if (drawing() && ours(e)) stop(e); }, true);
    hear(box_, 'pointerdown', e => {
      if (!drawing() || !ours(e) || e.button || e.isPrimary === false) return;
      stop(e); e.preventDefault(); box_.focus({ preventScroll: true });
      drag = { x: e.clientX, y: e.clientY, from: at(e), ring: [], moved: false };
    }, true);
    hear(window, 'pointermove', e => {
      if (!drag) { if (drawing() && points.length && box_.contains(e.target)) { const p = at(e); sketch([p.lng, p.lat]); } return; }
      if (!drag.moved && Math.hypot(e.clientX - drag.x, e.clientY - drag.y) < STILL) return;
      if (!drag.moved) { drag.moved = true; points = [[drag.from.lng, drag.from.lat]]; drag.x = e.clientX; drag.y = e.clientY; }
      const p = at(e);
      if (S.tool === 'box') { sketch([p.lng, p.lat]); drag.to = [p.lng, p.lat]; } else if (points.length < MOST && Math.hypot(e.clientX - drag.x, e.clientY - drag.y) >= 3) { points.push([p.lng, p.lat]); drag.x = e.clientX; drag.y = e.clientY; sketch(); }
    });
    hear(window, 'pointerup', e => {
      if (!drag) return;
      const d = drag; drag = null;
      if (!d.moved) return; /* a click, which comes next */
      dropped = performance.now();
      if (S.tool === 'box' && d.to) box(points[0], d.to); else S.closeShape();
    });
    hear(window, 'pointercancel', () => { if (drag) S.resetShape(); });
    hear(box_, 'click', e => {
      if (!ours(e)) return;
      if (performance.now() - dropped < 60) { stop(e); return; }
      if (map.dragging && map.dragging.moved()) return;
      if (click(at(e))) stop(e);
    }, true);
    hear(box_, 'dblclick', e => { if (S.tool !== 'look' && ours(e)) { stop(e); e.preventDefault(); if (S.tool === 'lasso') S.closeShape(); } }, true);
    hear(box_, 'keydown', e => {
      if (e.target !== box_) return;
      if (e.key === 'Enter' && S.tool !== 'look') { stop(e); e.preventDefault(); click(map.getCenter()); }
      if (e.key === 'Escape' && (points.length || S.tool !== 'look')) { stop(e); if (points.length) S.resetShape(); else { S.tool = 'look'; S.tell(); } }
    }, true);
    map.on('moveend zoomend resize viewreset', draw);
    hears.push(() => { map.off('moveend zoomend resize viewreset', draw); canvas.remove(); });
    draw();
    return () => { hears.forEach(end => end()); layer = null; shape = null; points = []; drag = null; };
  }

  S.focusOnMap = i => {
    if (!map || !S.lamps) return;
    const panel = document.getElementById('panel'), size = map.getSize(), at = [S.lamps.lat[i], S.lamps.lon[i]], p = map.latLngToContainerPoint(at), left = size.x > 700 && panel ? panel.offsetWidth + 30 : 20, top = size.x > 700 ? 30 : (panel ? Math.min(panel.offsetHeight + 20, size.y * .6) : 30);
    const middle = window.L.point((left + size.x) / 2, (top + size.y) / 2);
    if (map.getZoom() < 16) map.setView(at, 16, { animate: false });
    else if (p.x > left && p.x < size.x - 30 && p.y > top && p.y < size.y - 40) return;
    else map.setView(at, map.getZoom(), { animate: false });
    map.panBy(size.divideBy(2).subtract(middle), { animate: false });
  };

  N.late.LampsOnMap = () => {
    S.use();
    const pending = R.useRef(0);
    R.useEffect(() => {
      let end = null;
      const look = () => { if (N.map && N.map !== map && N.map._loaded && N.map.getContainer().isConnected) { if (end) end(); end = attach(N.map); } };
      const timer = setInterval(look, 150);
      look();
      const dress = () => draw();
      window.addEventListener('noctule-theme', dress);
      return () => { clearInterval(timer); window.removeEventListener('noctule-theme', dress); if (end) end(); map = null; };
    }, []);
    /* Many changes before the next picture are one drawing. */
    R.useEffect(() => { if (!pending.current) pending.current = requestAnimationFrame(() => { pending.current = 0; if (S.lamps) { draw(); if (map) map.getContainer().classList.toggle('pd-tool', S.tool !== 'look'); } }); });
    return null;
  };
})();
