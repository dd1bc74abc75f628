/* The map: Leaflet (from the installed dash_leaflet package) with value tiles that are coloured here, so that hover,
   palette and a new version cost no picture requests and nothing blanks while a new picture is on its way. */
(function () {
  'use strict';
  const R = window.React;
  const N = (window.noctule = window.noctule || {});
  const SIZE = 256, BYTES = 2 * SIZE * SIZE, NONE = 255, MOST_TILES = 80, KEPT = 700;
  const PALETTES = ['safety', 'light', 'footfall', 'noise', 'evidence', 'safety_change', 'light_change'];
  const HATCH = { dark: 0x66b4a698, light: 0x8f7a6b5e | 0, contrast: 0xb4ffffff | 0 }; /* ABGR, by what the map is drawn on */

  const kept = new Map(), pending = new Map(), tables = {};
  const key = (v, c) => `${v.layer}/${v.run}/${v.frame}/${v.version}/${c.z}/${c.x}/${c.y}`;
  const named = v => `${v.layer}/${v.run}/${v.place}/${v.version}`;
  N.stats = { requests: 0, painted: '', paintedAt: 0 };

  function loadTables(config) {
    const ground = N.ground();
    N.tables = N.tables || {};
    return (N.tables[ground] = N.tables[ground] || fetch(`${config.palette}/${ground}.bin`).then(r => r.arrayBuffer()).then(all => {
      const words = new Uint32Array(all), each = config.levels * config.steps, mine = (tables[ground] = {});
      PALETTES.forEach((name, i) => { mine[name] = words.subarray(i * each, (i + 1) * each); });
    }));
  }

  /* Rows come as differences modulo 256. */
  function undo(bytes) {
    for (let row = 0; row < BYTES; row += SIZE) for (let i = row + 1, end = row + SIZE; i < end; i++) bytes[i] += bytes[i - 1];
    return bytes;
  }

  function remember(k, bytes) {
    kept.set(k, bytes);
    while (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }

  /* All tiles of a screen in one request; a screen larger than the server's limit in strips. */
  function fetchTiles(config, view, coords) {
    const missing = coords.filter(c => !kept.has(key(view, c)) && !pending.has(key(view, c)));
    if (missing.length) {
      const xs = missing.map(c => c.x), ys = missing.map(c => c.y), z = missing[0].z;
      const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
      const rows = Math.max(1, Math.floor(MOST_TILES / (x1 - x0 + 1)));
      for (let top = y0; top <= y1; top += rows) fetchStrip(config, view, z, x0, x1, top, Math.min(y1, top + rows - 1), missing);
    }
    return Promise.all(coords.map(c => pending.get(key(view, c)))).then(() => coords.map(c => kept.get(key(view, c))));
  }

  function fetchStrip(config, view, z, x0, x1, y0, y1, missing) {
    const mine = missing.filter(c => c.y >= y0 && c.y <= y1).map(c => key(view, c));
    const address = `${config.tiles}/${view.layer}/${view.run}/${view.frame}/${view.version}/${z}/${x0}-${x1}/${y0}-${y1}.bin`;
    N.stats.requests += 1;
    const promise = fetch(address).then(answer => {
      /* A version that is gone was replaced: whoever follows the server learns the new one. */
      if (answer.status === 204 && N.lookAgain) N.lookAgain();
      if (answer.status !== 200) throw new Error(String(answer.status));
      return answer.arrayBuffer();
    }).then(all => {
      const wide = x1 - x0 + 1;
      for (let i = 0; i * BYTES < all.byteLength; i++) {
        const c = { z, x: x0 + i % wide, y: y0 + Math.floor(i / wide) };
        remember(key(view, c), undo(new Uint8Array(all, i * BYTES, BYTES)));
      }
    }).finally(() => mine.forEach(k => pending.delete(k)));
    mine.forEach(k => pending.set(k, promise));
  }

  /* Paint a tile of the shown zoom from a tile of at most the native zoom; hatching is drawn in pixels of the screen. */
  function paint(canvas, bytes, layer) {
    const c = canvas.coords, d = canvas.deeper, n = SIZE * SIZE, ground = N.ground(), table = (tables[ground] || {})[N.colours[layer]], hatch = HATCH[ground], out = new Uint32Array(n);
    if (bytes && table) {
      const left = (c.x - ((c.x >> d) << d)) * SIZE >> d, top = (c.y - ((c.y >> d) << d)) * SIZE >> d;
      for (let y = 0, o = 0; y < SIZE; y++) {
        const row = (top + (y >> d)) * SIZE + left;
        for (let x = 0; x < SIZE; x++, o++) {
          const i = row + (x >> d), value = bytes[i];
          if (value !== NONE) out[o] = table[bytes[n + i] * 101 + value];
          else if (bytes[n + i] === 0 && (x + y) % 8 < 2) out[o] = hatch;
        }
      }
    }
    canvas.getContext('2d').putImageData(new ImageData(new Uint8ClampedArray(out.buffer), SIZE, SIZE), 0, 0);
    canvas.shown = layer;
  }

  function valueLayer(L, config, current, more) {
    const parent = (c, d) => ({ z: c.z - d, x: c.x >> d, y: c.y >> d });
    let waiting = [], timer = 0;
    const Values = L.GridLayer.extend({
      createTile(coords, done) {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = SIZE;
        canvas.coords = coords;
        canvas.deeper = Math.max(0, coords.z - config.nativeZoom);
        waiting.push([canvas, done]);
        if (!timer) timer = setTimeout(() => { const batch = waiting; waiting = []; timer = 0; this.fill(batch); }, 0);
        return canvas;
      },
      fill(batch) {
        const view = current(), canvases = batch.map(entry => entry[0]);
        this.load(view, canvases).then(all => batch.forEach(([canvas, done], i) => { paint(canvas, all[i], view.layer); done(null, canvas); }))
          .then(() => this.painted(view), error => { batch.forEach(([canvas, done]) => done(null, canvas)); this.missed(view, error); });
      },
      load(view, canvases) {
        const inside = c => { const b = config.box, s = 2 ** c.z; return (c.x + 1) / s >= b[0] && c.x / s <= b[2] && (c.y + 1) / s >= b[1] && c.y / s <= b[3]; };
        if (!view.version) return Promise.resolve(canvases.map(() => null));
        const wanted = canvases.map(canvas => parent(canvas.coords, canvas.deeper)), used = wanted.filter(inside);
        const distinct = [...new Map(used.map(c => [key(view, c), c])).values()];
        return loadTables(config).then(() => (distinct.length ? fetchTiles(config, view, distinct) : []))
          .then(() => wanted.map(c => kept.get(key(view, c)) || null));
      },
      /* A new version, step or layer: the whole screen changes in one task, and only when all of it is here. */
      refresh() {
        const view = current(), zoom = this._tileZoom;
        const canvases = Object.values(this._tiles).map(tile => tile.el).filter(canvas => canvas.coords.z === zoom);
        return this.load(view, canvases).then(all => {
          if (current() !== view) return;
          canvases.forEach((canvas, i) => paint(canvas, all[i], view.layer));
          this.painted(view);
        }).catch(error => this.missed(view, error));
      },
      ahead(view) {
        const zoom = this._tileZoom;
        return this.load(view, Object.values(this._tiles).map(tile => tile.el).filter(canvas => canvas.coords.z === zoom)).catch(() => 0);
      },
      /* What is no more is not waited for; what a lost connection kept back is asked for again. */
      missed(view, error) {
        if (/^(204|40[34])$/.test(error.message)) N.stats.missed = named(view);
        else setTimeout(() => { if (this._map && current() === view) this.refresh(); }, 2000);
      },
      painted(view) {
        if (waiting.length || current() !== view || !view.run) return;
        if (more) { more.told(view); return; }
        N.stats.painted = named(view);
        N.stats.paintedAt = performance.now();
        if (!N.stats.first && view.version) N.stats.first = N.stats.paintedAt;
      },
    });
    return new Values({ tileSize: SIZE, keepBuffer: 1, updateWhenIdle: false, className: 'values', ...(more ? more.options : {}) });
  }

  /* SIMULATED is part of the picture, not a label that a screenshot could miss: repeated over the whole map, once
     always whole in the middle of what the panel leaves free, at every zoom and on every screen. */
  function drawMark(canvas, text, middle) {
    const density = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight, g = canvas.getContext('2d');
    canvas.width = wide * density; canvas.height = high * density;
    g.scale(density, density); g.translate(middle.x, middle.y); g.rotate(-.3);
    g.font = '600 15px system-ui, sans-serif'; g.textAlign = 'center'; g.lineWidth = 3; g.lineJoin = 'round';
    const light = N.ground() === 'light';
    g.strokeStyle = light ? 'rgba(255,255,255,.5)' : 'rgba(9,13,19,.4)'; g.fillStyle = light ? 'rgba(20,28,40,.5)' : 'rgba(255,255,255,.42)';
    const across = g.measureText(text).width + 260, down = 230, far = Math.hypot(wide, high);
    for (let row = -Math.ceil(far / down); row * down < far; row++) for (let column = -Math.ceil(far / across); column * across < far; column++) {
      const x = (column + (row & 1) / 2) * across, y = row * down;
      g.strokeText(text, x, y); g.fillText(text, x, y);
    }
  }

  const STYLES = {
    lamps: { 0: '#ffe3a3', 1: '#ffe3a3', 2: '#ff9f45', r: 2.6 },
    venues: { 1: '#d9b8ff', r: 4 }, stops: { 1: '#8fc7ff', r: 4 }, sensors: { 1: '#ffffff', r: 4.5 },
  };

  /* Points, drawn per tile from buckets of zoom 15, so that fifty thousand cost what is on the screen. */
  function dotLayer(L, kind, data) {
    const n = data.points.length, X = new Float64Array(n), Y = new Float64Array(n), buckets = new Map();
    data.points.forEach(([lon, lat], i) => {
      const s = Math.sin(lat * Math.PI / 180);
      X[i] = (lon + 180) / 360; Y[i] = .5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI);
      const k = (X[i] * 32768 | 0) + ':' + (Y[i] * 32768 | 0);
      (buckets.get(k) || buckets.set(k, []).get(k)).push(i);
    });
    const near = (x0, x1, y0, y1) => {
      const found = [];
      for (let a = Math.floor(x0 * 32768); a <= Math.floor(x1 * 32768); a++) for (let b = Math.floor(y0 * 32768); b <= Math.floor(y1 * 32768); b++) found.push(...(buckets.get(a + ':' + b) || []));
      return found;
    };
    const Dots = L.GridLayer.extend({
      createTile(c) {
        const canvas = document.createElement('canvas'), density = window.devicePixelRatio || 1, g = canvas.getContext('2d'), m = 2 ** c.z;
        canvas.width = canvas.height = SIZE * density; g.scale(density, density);
        const r = STYLES[kind].r * (c.z >= 17 ? 1.6 : c.z >= 15 ? 1 : .55), margin = 12 / SIZE;
        for (const i of near((c.x - margin) / m, (c.x + 1 + margin) / m, (c.y - margin) / m, (c.y + 1 + margin) / m)) {
          const x = (X[i] * m - c.x) * SIZE, y = (Y[i] * m - c.y) * SIZE, state = data.states[i];
          g.fillStyle = STYLES[kind][state] || '#fff'; g.strokeStyle = '#0b1017'; g.lineWidth = 1.2;
          g.beginPath();
          if (kind === 'venues') g.rect(x - r * .85, y - r * .85, r * 1.7, r * 1.7);
          else if (kind === 'stops') { g.moveTo(x, y - r * 1.2); g.lineTo(x + r * 1.2, y); g.lineTo(x, y + r * 1.2); g.lineTo(x - r * 1.2, y); g.closePath(); }
          else if (kind === 'sensors') { g.moveTo(x, y - r * 1.2); g.lineTo(x + r * 1.1, y + r * .8); g.lineTo(x - r * 1.1, y + r * .8); g.closePath(); }
          else g.arc(x, y, state === 2 ? r * 1.7 : r, 0, 7);
          g.fill(); if (c.z >= 14) g.stroke();
          if (state === 2) { g.strokeStyle = '#0b1017'; g.lineWidth = 1.6; g.beginPath(); g.moveTo(x - r * .8, y - r * .8); g.lineTo(x + r * .8, y + r * .8); g.moveTo(x + r * .8, y - r * .8); g.lineTo(x - r * .8, y + r * .8); g.stroke(); }
        }
        return canvas;
      },
      /* The words of the point nearest to a place on the screen; names of venues are kept back while feelings are shown. */
      read(map, latlng, quiet) {
        const m = SIZE * 2 ** map.getZoom(), p = map.project(latlng), reach = 9;
        let best = null, least = reach * reach;
        for (const i of near((p.x - reach) / m, (p.x + reach) / m, (p.y - reach) / m, (p.y + reach) / m)) {
          const d = (X[i] * m - p.x) ** 2 + (Y[i] * m - p.y) ** 2;
          if (d < least) { least = d; best = i; }
        }
        if (best === null) return '';
        return (data.names[best] && !(quiet && kind === 'venues') ? data.names[best] + ' · ' : '') + data.texts[best];
      },
    });
    return new Dots({ tileSize: SIZE, pane: 'dots', keepBuffer: 1 });
  }

  function words(config, view, value, confidence) {
    const q = config.labels;
    if (value === NONE) return confidence === 0 ? q.hatched : '';
    const s = config.scales[view.layer], r = value / 100, format = o => ({ format: n => new Intl.NumberFormat(q.language, o).format(n).replace('-', '−') });
    let text;
    if (s.kind === 'log') text = format({ maximumSignificantDigits: 2 }).format(s.low * (s.high / s.low) ** r);
    else if (s.kind === 'ratio') text = format({ maximumFractionDigits: 0, signDisplay: 'exceptZero' }).format(Math.expm1((2 * r - 1) * Math.log(s.high)) * 100);
    else if (s.kind === 'change') text = format({ maximumFractionDigits: 1, signDisplay: 'exceptZero' }).format(s.low * Math.sinh((2 * r - 1) * Math.asinh(s.high / s.low)));
    else text = format({ maximumFractionDigits: s.digits || 0 }).format(s.low + r * (s.high - s.low));
    text += ' ' + s.unit;
    if (s.differs && confidence < 8) return `${text} · ${q.grey}`; /* inside its interval, as it is coloured */
    return s.sure || s.differs ? text : `${text} · ${q.confidence} ${config.confidence[confidence >> 2]}`;
  }

  /* What a second map, or a second layer in this one, is made of (dashboard/late/compare.js). */
  N.kit = { valueLayer, dotLayer, drawMark, words };

  N.NightMap = function (props) {
    const box = R.useRef(null), own = R.useRef({}), latest = R.useRef(props);
    latest.current = props;
    N.colours = Object.fromEntries(Object.entries(props.config.scales).map(([name, s]) => [name, s.colours]));
    R.useEffect(() => {
      const L = window.L, config = props.config, q = config.labels, [west, south, east, north] = config.bounds;
      const mercator = (lon, lat) => { const s = Math.sin(lat * Math.PI / 180); return [(lon + 180) / 360, .5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI)]; };
      const [bx0, by0] = mercator(west, north), [bx1, by1] = mercator(east, south);
      config.box = [bx0, by0, bx1, by1];
      const bounds = L.latLngBounds([south, west], [north, east]);
      const main = box.current.parentElement, wide = () => !N.traylike();
      const map = L.map(box.current, { zoomControl: false, attributionControl: false, fadeAnimation: false, minZoom: 11, maxZoom: 18, zoomSnap: .125, maxBounds: bounds.pad(wide() ? 1.2 : 3), maxBoundsViscosity: .6 });
      own.current.map = N.map = map;
      N.config = config;
      const bare = () => N.asked('embed') || N.theme() === 'projector'; /* there the legend is all that the panel holds */
      const fold = () => document.querySelectorAll('.panel .fold').forEach(one => { if (main.clientWidth <= 700) one.open = false; if (bare() && one.querySelector('#legends')) one.open = true; });
      fold();
      /* What panel and time bar, or on a phone the tray, leave free. */
      const panel = document.getElementById('panel'), dock = document.querySelector('.dock');
      const free = {};
      const measure = () => Object.assign(free, { left: wide() && main.clientWidth > 700 && main.dataset.compare !== 'side' ? panel.offsetWidth + 24 : 8, top: wide() ? 12 : document.getElementById('banner').offsetHeight + 8, bottom: (N.covered && N.covered() || dock.offsetHeight) + 8 });
      measure();
      for (const [name, z] of [['over', 300], ['dots', 400]]) map.createPane(name).style.zIndex = z;
      map.getPane('over').style.pointerEvents = map.getPane('dots').style.pointerEvents = 'none';
      const place = /^#(\d{1,2}(?:\.\d+)?)\/(-?[\d.]+)\/(-?[\d.]+)$/.exec(location.hash), placed = place && isFinite(+place[2]) && isFinite(+place[3]);
      if (placed) map.setView([+place[2], +place[3]], Math.min(18, Math.max(11, +place[1])), { animate: false });
      const fit = () => map.fitBounds(bounds, { paddingTopLeft: [free.left, free.top], paddingBottomRight: [12, free.bottom], animate: false });
      /* The panel grows when its sentences arrive; until somebody moves the map it makes room. */
      let untouched = !placed;
      if (untouched) fit();
      for (const act of ['pointerdown', 'wheel', 'keydown']) box.current.addEventListener(act, () => { untouched = false; }, { passive: true });
      L.control.scale({ imperial: false, position: 'bottomright' }).addTo(map);
      L.control.zoom({ position: 'bottomright', zoomInTitle: q.zoomin, zoomOutTitle: q.zoomout }).addTo(map);
      const values = (own.current.values = valueLayer(L, config, () => latest.current.view || {}).addTo(map));
      const under = () => `${config.base[N.ground()]}/{z}/{x}/{y}{r}.png`;
      const base = L.tileLayer(under(), { tileSize: SIZE, maxNativeZoom: 17, minZoom: 8, pane: 'over', keepBuffer: 2 }).addTo(map);

      const tip = document.createElement('div');
      tip.className = 'tip'; tip.hidden = true; box.current.appendChild(tip);
      const bytesAt = (latlng, view = latest.current.view || {}) => {
        const z = Math.min(Math.round(map.getZoom()), config.nativeZoom), p = map.project(latlng, z);
        const bytes = view.version && kept.get(key(view, { z, x: Math.floor(p.x / SIZE), y: Math.floor(p.y / SIZE) }));
        if (!bytes) return null;
        const i = (Math.floor(p.y) & 255) * SIZE + (Math.floor(p.x) & 255);
        return [bytes[i], bytes[SIZE * SIZE + i]];
      };
      N.readTile = (lat, lon, view) => bytesAt(L.latLng(lat, lon), view);
      map.on('mousemove', e => {
        const view = latest.current.view || {}, found = bytesAt(e.latlng), parts = [];
        for (const dots of Object.values(own.current.dots || {})) { const text = dots.read(map, e.latlng, view.layer === 'safety' || view.layer === 'evidence'); if (text) parts.push(text); }
        const text = found ? words(config, view, found[0], found[1]) : '';
        if (N.beside) parts.push(...N.beside.told(e.latlng, text)); else if (text) parts.push(text);
        tip.hidden = !parts.length;
        tip.textContent = parts.join('\n');
        const size = map.getSize(), x = e.containerPoint.x, y = e.containerPoint.y, flip = x > size.x - 240;
        tip.style.transform = `translate(${flip ? Math.max(4, x - 14 - tip.offsetWidth) : x + 14}px,${y > size.y - 80 ? y - 40 : y + 14}px)`;
      });
      map.on('mouseout', () => { tip.hidden = true; });

      const pick = latlng => {
        const v = latest.current.view || {};
        if (bare()) return; /* nothing there would show what was read */
        N.address({ at: `${latlng.lat.toFixed(5)},${latlng.lng.toFixed(5)}` });
        if (v.version) latest.current.setProps({ reading: { lat: +latlng.lat.toFixed(6), lon: +latlng.lng.toFixed(6), run: v.run, frame: v.frame, layer: v.layer, version: v.version } });
      };
      own.current.pick = N.pick = pick;
      map.on('click', e => pick(e.latlng));
      /* The cross marks what Enter reads; Leaflet gives the map the focus on a click too, where it would only confuse. */
      box.current.addEventListener('mousedown', () => box.current.classList.remove('keys'));
      box.current.addEventListener('keyup', () => box.current.classList.add('keys'));
      box.current.addEventListener('keydown', e => { if (e.key === 'Enter' && e.target === box.current) { e.preventDefault(); pick(map.getCenter()); } });
      map.on('moveend', () => { const c = map.getCenter(); history.replaceState(history.state, '', location.pathname + location.search + `#${+map.getZoom().toFixed(2)}/${c.lat.toFixed(5)}/${c.lng.toFixed(5)}`); });
      const mark = (own.current.mark = document.createElement('canvas'));
      mark.className = 'simulated-mark';
      box.current.appendChild(mark);
      /* What of the map nothing lies over. */
      N.inSight = () => { const size = map.getSize(); return L.latLngBounds(map.containerPointToLatLng([free.left, free.top]), map.containerPointToLatLng([size.x - 12, Math.max(free.top + 40, size.y - free.bottom)])); };
      const resize = () => {
        if (!box.current || N.printing) return; /* the tray of the next page may speak before this one's map is gone */
        map.invalidateSize({ animate: false });
        box.current.parentElement.style.setProperty('--dock', dock.offsetHeight + 'px');
        measure();
        if (untouched) fit();
        const size = map.getSize();
        drawMark(mark, q.simulated, L.point((free.left + size.x) / 2, (free.top + size.y - free.bottom) / 2));
      };
      const sized = new ResizeObserver(resize);
      for (const part of wide() ? [box.current, dock, panel] : [box.current, dock]) sized.observe(part);
      window.addEventListener('noctule-tray', resize);
      const repaint = () => { if (bare()) fold(); base.setUrl(under()); values.refresh(); resize(); };
      window.addEventListener('noctule-theme', repaint);
      return () => { window.removeEventListener('noctule-theme', repaint); window.removeEventListener('noctule-tray', resize); sized.disconnect(); map.remove(); own.current = {}; };
    }, [props.config]);

    const view = props.view || {}, { run, frame, version, layer } = view;
    R.useEffect(() => {
      const { values, map, pick } = own.current;
      if (!values) return undefined;
      values.refresh();
      window.dispatchEvent(new Event('noctule-view'));
      /* The place that is read follows the step and the layer, but not every frame of a play. */
      const at = props.reading || N.asked('at');
      if (!at || !version) return undefined;
      const timer = setTimeout(() => pick(at.lat !== undefined ? window.L.latLng(at.lat, at.lon) : window.L.latLng(...at.split(',').map(Number))), N.playing ? 900 : 60);
      return () => clearTimeout(timer);
    }, [run, frame, version, layer, props.config]);

    R.useEffect(() => {
      const { map } = own.current, L = window.L, at = props.reading;
      if (own.current.pin) { own.current.pin.remove(); own.current.pin = null; }
      if (map && at && N.traylike()) setTimeout(() => {
        if (own.current.map === map && !document.getElementById('details').hidden) map.panInside([at.lat, at.lon], { paddingTopLeft: [40, 40], paddingBottomRight: [40, N.covered() + 24] });
      }, 400); /* once the answer has lifted the tray */
      if (map && at) own.current.pin = L.marker([at.lat, at.lon], { interactive: false, keyboard: false, icon: L.divIcon({ className: 'pin', iconSize: [22, 22] }) }).addTo(map);
    }, [props.reading, props.config]);

    const simulated = !!view.simulated;
    R.useEffect(() => { if (own.current.mark) own.current.mark.style.visibility = simulated ? 'visible' : 'hidden'; }, [simulated, props.config]);

    const overlays = (view.overlays || []).join('.');
    R.useEffect(() => {
      let over = false;
      const mine = {};
      const { map } = own.current;
      own.current.dots = mine;
      if (map) overlays.split('.').filter(Boolean).forEach(kind => fetch(`/overlay/${kind}.json?lang=${props.config.labels.language}`).then(r => (r.ok ? r.json() : null)).then(data => { if (data && !over && own.current.map === map) mine[kind] = dotLayer(window.L, kind, data).addTo(map); }));
      return () => { over = true; Object.values(mine).forEach(dots => dots.remove()); };
    }, [overlays, props.config]);

    N.view = () => latest.current.view || {};
    N.ahead = view => (own.current.values ? own.current.values.ahead(view) : Promise.resolve());
    return R.createElement('div', { id: props.id, ref: box, className: 'map', tabIndex: 0, role: 'application', 'aria-label': props.config.labels.name });
  };
})();
