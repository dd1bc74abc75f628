/* The lamps as a table of any length: rows of one height, of which only those in sight are elements. The grid is one stop
   of the Tab key; inside it arrows, Page and Home/End move, Space chooses, Enter shows the lamp on the map. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule, S = N.plan;
  const ROW = 30, MORE = 6;
  const COLUMNS = [
    ['lamp', 132], ['asset_id', 110], ['street', 170], ['luminaire', 120], ['cct_k', 76], ['watts', 70], ['lumens', 80], ['height_m', 76],
    ['cabinet', 110], ['circuit', 120], ['installed', 96], ['required', 76], ['lux', 84], ['state', 96], ['planned', 110],
  ];
  const CODED = ['street', 'luminaire', 'cabinet', 'circuit', 'installed', 'required'], PICKED = ['luminaire', 'street', 'cabinet', 'circuit', 'required'], RANGES = ['cct_k', 'watts', 'lumens', 'height_m', 'year', 'lux'];
  const WIDE = 34 + COLUMNS.reduce((sum, one) => sum + one[1], 0);

  const planned = bits => { const w = S.words; return bits ? [bits & 4 && w.removed, bits & 2 && w.replaced, bits & 1 && w.dimmed].filter(Boolean).join(', ') : ''; };
  const value = (name, i) => {
    const l = S.lamps;
    if (CODED.includes(name)) return S.word(name, i);
    if (name === 'state') return l.states ? +l.states[i] : 0;
    if (name === 'lux') return l.lux.length ? l.lux[i] : null;
    if (name === 'planned') return S.touched()[i];
    return l[name][i];
  };
  const shape = {};
  const text = (name, i) => {
    const v = value(name, i), w = S.words;
    if (name === 'state') return w.states[v];
    if (name === 'planned') return planned(v);
    if (v === null || v === undefined) return '';
    if (typeof v !== 'number') return v;
    return (shape[w.language + name] = shape[w.language + name] || new Intl.NumberFormat(w.language, { maximumFractionDigits: 2, useGrouping: name === 'lumens' })).format(v);
  };

  /* What is shown and in which order; made anew only when something that it rests on is. */
  S.list_rows = () => {
    const l = S.lamps, f = S.filter, order = sorted(), made = JSON.stringify([f, l.turn, f.chosen ? S.turn : 0]);
    if (S.shown && S.shownOf === made && S.shownIn === order && (!f.columns.planned || S.shownChanges === S.changes)) return S.shown;
    if (!l.hay) { const words = {}; for (const name of CODED) words[name] = l.coded[name].words.map(fold); l.hay = l.lamp.map((id, i) => fold(id + ' ' + l.asset_id[i]) + ' ' + ['street', 'luminaire', 'cabinet', 'circuit'].map(name => words[name][l.coded[name].codes[i]]).join(' ')); }
    const parts = fold(f.text).split(/\s+/).filter(Boolean), picked = Object.entries(f.columns).filter(([, v]) => v !== ''), codes = picked.map(([name, v]) => (CODED.includes(name) ? [l.coded[name].codes, l.coded[name].words.indexOf(v)] : null));
    const bounds = RANGES.filter(name => (f.from[name] ?? '') !== '' || (f.to[name] ?? '') !== '').map(name => [l[name], f.from[name] ?? '', f.to[name] ?? '']);
    const rows = [];
    for (const i of order) {
      if (f.chosen && !S.chosen[i]) continue;
      let good = true;
      for (const part of parts) if (!l.hay[i].includes(part)) { good = false; break; }
      for (let k = 0; good && k < picked.length; k++) good = codes[k] ? codes[k][0][i] === codes[k][1] : picked[k][0] === 'state' ? value('state', i) === +picked[k][1] : !!value('planned', i) === (picked[k][1] === 'yes');
      for (let k = 0; good && k < bounds.length; k++) { const v = bounds[k][0][i]; good = v !== null && v !== undefined && (bounds[k][1] === '' || v >= bounds[k][1]) && (bounds[k][2] === '' || v <= bounds[k][2]); }
      if (good) rows.push(i);
    }
    S.shown = rows; S.shownOf = made; S.shownIn = order; S.shownChanges = S.changes;
    return rows;
  };
  const fold = t => (/[^ -~]/.test(t) ? t.normalize('NFD').replace(/[\u0300-\u036f]/g, '') : t).toLowerCase();

  /* All lamps in the order that is asked for, kept while a search is typed. Words are sorted by a rank a word and ids with
     their numbers padded, so that comparing fifty thousand costs no collation. */
  function sorted() {
    const l = S.lamps, { column: name, down } = S.sort, made = JSON.stringify([S.sort, name === 'state' || name === 'lux' ? l.turn : 0]);
    if (S.order && S.orderOf === made && S.orderLamps === l && (name !== 'planned' || S.orderChanges === S.changes)) return S.order;
    const by = down ? -1 : 1, ranks = new Float64Array(l.n);
    if (CODED.includes(name)) {
      const { words, codes } = l.coded[name], place = new Float64Array(words.length), compare = new Intl.Collator(S.words.language, { numeric: true }).compare;
      words.map((word, at) => [word, at]).sort((a, b) => (a[0] === '') - (b[0] === '') || compare(a[0], b[0])).forEach(([, at], k) => { place[at] = k; });
      for (let i = 0; i < l.n; i++) ranks[i] = place[codes[i]];
    } else if (name === 'lamp' || name === 'asset_id') {
      const key = 'rank_' + name;
      if (!l[key]) { const padded = l[name].map(id => (id ? id.replace(/\d+/g, n => n.padStart(12, '0')) : '\uffff')), order = [...padded.keys()], places = (l[key] = new Float64Array(l.n)); order.sort((a, b) => (padded[a] < padded[b] ? -1 : padded[a] > padded[b] ? 1 : 0)); order.forEach((i, k) => { places[i] = k; }); }
      ranks.set(l[key]);
    } else for (let i = 0; i < l.n; i++) { const v = value(name, i); ranks[i] = v === null || v === undefined ? by * Infinity : v; }
    const order = new Int32Array(l.n).map((_, i) => i).sort((a, b) => (ranks[a] === ranks[b] ? a - b : by * (ranks[a] - ranks[b])));
    S.order = order; S.orderOf = made; S.orderLamps = l; S.orderChanges = S.changes;
    return order;
  }

  /* The active lamp is the one that the table and the map point at; `from` says who chose it. */
  S.activate = (i, from) => { S.active = i; S.activeFrom = from; S.tell(); if (from === 'table' && S.focusOnMap) S.focusOnMap(i); };

  /* Drawn anew only when one of these changed, and its thousands of options only when somebody opens it. */
  const Filters = R.memo(({ w, f, l }) => {
    const [open, show] = R.useState(false), set = change => { S.filter = { ...f, ...change }; S.tell(); };
    const pick = (name, options) => h('label', { key: name, className: 'pd-field' }, h('span', null, w.columns[name]), h('select', { 'data-filter': name, value: f.columns[name] || '', onChange: e => set({ columns: { ...f.columns, [name]: e.target.value } }) }, h('option', { value: '' }, w.any), options.map(([v, label]) => h('option', { key: v, value: v }, label))));
    const bound = (name, side) => h('input', { type: 'number', step: 'any', 'aria-label': S.fill(w['range_' + side], { column: w.columns[name] }), placeholder: w[side], value: f[side][name] ?? '', onChange: e => set({ [side]: { ...f[side], [name]: e.target.value === '' ? '' : +e.target.value } }) });
    const some = Object.values(f.columns).some(Boolean) || [...Object.values(f.from), ...Object.values(f.to)].some(v => v !== '');
    return h('details', { className: 'fold pd-filters', onToggle: e => show(e.currentTarget.open) }, h('summary', null, w.filters + (some ? ' •' : '')),
      !open ? null : h('div', { className: 'pd-grid' }, PICKED.filter(name => l.coded[name].words.filter(Boolean).length).map(name => pick(name, l.coded[name].words.filter(Boolean).map(v => [v, v]))), pick('state', [[0, w.states[0]], [1, w.states[1]], [2, w.states[2]]]), pick('planned', [['yes', w.yes], ['no', w.no]])),
      !open ? null : h('div', { className: 'pd-grid' }, RANGES.map(name => h('div', { key: name, role: 'group', 'aria-label': w.columns[name], className: 'pd-field' }, h('span', null, w.columns[name]), h('span', { className: 'pd-range' }, bound(name, 'from'), bound(name, 'to'))))),
      some ? h('button', { type: 'button', className: 'btn small', onClick: () => set({ columns: {}, from: {}, to: {} }) }, w.no_filters) : null);
  });

  const TOOLS = ['look', 'each', 'box', 'lasso', 'street', 'section'];
  const Choosing = R.memo(() => {
    const w = S.words, [name, setName] = R.useState(''), [corners, setCorners] = R.useState(['', '']), streets = S.lamps.coded.street.words, known = R.useMemo(() => streets.filter(Boolean).map(one => h('option', { key: one, value: one })), [streets]);
    const read = t => { const at = t.split(/[,;\s]+/).filter(Boolean).map(Number); return at.length === 2 && at.every(isFinite) ? at : null; }, ends = corners.map(read);
    const button = (text, act, more) => h('button', { type: 'button', className: 'btn small', onClick: act, ...more }, text);
    return h('div', { className: 'pd-choosing' },
      h('div', { role: 'group', 'aria-label': w.tools, className: 'acts' }, TOOLS.map(tool => button(w['tool_' + tool], () => { S.tool = tool; S.points = 0; if (S.resetShape) S.resetShape(); S.tell(); }, { key: tool, 'data-tool': tool, 'aria-pressed': S.tool === tool })),
        h('label', { className: 'pick' }, h('span', { className: 'pd-hide' }, w.mode), h('select', { 'aria-label': w.mode, value: S.mode, onChange: e => { S.mode = e.target.value; S.tell(); } }, ['replace', 'join', 'take'].map(mode => h('option', { key: mode, value: mode }, w['mode_' + mode]))))),
      S.tool !== 'look' ? h('p', { className: 'note', role: 'status' }, w['help_' + S.tool], ' ', S.tool === 'lasso' && S.points > 2 ? button(w.close_shape, () => S.closeShape()) : null, S.points ? button(w.drop_shape, () => S.resetShape()) : null) : null,
      h('div', { className: 'acts' }, button(w.all_shown, () => S.choose(S.list_rows())), button(w.invert, () => { for (let i = 0; i < S.chosen.length; i++) S.chosen[i] ^= 1; S.recount(); }), button(w.clear, () => S.choose([], 'replace'), { disabled: !S.count }),
        h('label', { className: 'check' }, h('input', { type: 'checkbox', checked: S.filter.chosen, onChange: e => { S.filter = { ...S.filter, chosen: e.target.checked }; S.tell(); } }), h('span', null, w.only_chosen))),
      h('details', { className: 'fold' }, h('summary', null, w.by_words),
        h('form', { className: 'pd-row', onSubmit: e => { e.preventDefault(); const rows = S.street(name); if (rows.length) S.choose(rows); } }, h('label', { className: 'pd-field wide' }, h('span', null, w.by_street), h('input', { id: 'pd-street', list: 'pd-streets', value: name, maxLength: 120, onChange: e => setName(e.target.value) })), h('datalist', { id: 'pd-streets' }, known), h('button', { type: 'submit', className: 'btn small', disabled: !name || !streets.includes(name) }, w.choose)),
        h('form', { className: 'pd-row', onSubmit: e => { e.preventDefault(); const [[la, lo], [lb, lp]] = ends; S.choose(S.inside([[lo, la], [lp, la], [lp, lb], [lo, lb]])); } }, [0, 1].map(at => h('label', { key: at, className: 'pd-field' }, h('span', null, at ? w.corner_b : w.corner_a), h('input', { value: corners[at], placeholder: '60.1701, 24.9412', maxLength: 40, onChange: e => setCorners(corners.map((c, i) => (i === at ? e.target.value : c))) }))), h('button', { type: 'submit', className: 'btn small', disabled: !ends[0] || !ends[1] }, w.choose_box))));
  });

  N.late.LampTable = () => {
    S.use();
    const w = S.words, box = R.useRef(null), [top, setTop] = R.useState(S.scrolled || 0), [high, setHigh] = R.useState(400), anchor = R.useRef(-1), here = R.useRef(-1);
    R.useEffect(() => {
      if (!box.current) return undefined;
      box.current.scrollTop = S.scrolled || 0;
      const sized = new ResizeObserver(() => box.current && setHigh(box.current.clientHeight));
      sized.observe(box.current);
      return () => sized.disconnect();
    }, [!!S.lamps]);
    const rows = S.lamps ? S.list_rows() : [];
    const place = S.active >= 0 ? rows.indexOf(S.active) : -1;
    const bring = at => { const el = box.current, y = at * ROW; if (!el || at < 0) return; if (y < el.scrollTop) el.scrollTop = y; else if (y + 2 * ROW > el.scrollTop + el.clientHeight) el.scrollTop = y + 2 * ROW - el.clientHeight; };
    /* A lamp that was chosen on the map comes into sight, in the middle. */
    R.useEffect(() => { if (S.activeFrom === 'map' && place >= 0 && here.current !== S.active) box.current.scrollTop = Math.max(0, place * ROW - high / 2); here.current = S.active; }, [S.active, place]);
    if (!S.lamps) return h('p', { className: 'note', role: 'status' }, S.told ? '' : w.loading);
    const first = Math.max(0, Math.floor(top / ROW) - MORE), last = Math.min(rows.length, Math.ceil((top + high) / ROW) + MORE);
    const act = (at, range) => { at = Math.max(0, Math.min(rows.length - 1, at)); if (range) { const from = anchor.current < 0 ? at : anchor.current; S.choose(rows.slice(Math.min(from, at), Math.max(from, at) + 1), 'join'); } else anchor.current = at; S.active = rows[at]; S.activeFrom = 'keys'; bring(at); S.tell(); };
    const keys = e => {
      const page = Math.max(1, Math.floor(high / ROW) - 2), move = { ArrowDown: place + 1, ArrowUp: place < 0 ? 0 : place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: rows.length - 1 }[e.key];
      if (e.target !== box.current || !rows.length) return;
      if (move !== undefined && !e.altKey) { e.preventDefault(); act(move, e.shiftKey); }
      else if (e.key === ' ' && place >= 0) { e.preventDefault(); S.toggle(rows[place]); }
      else if (e.key === 'Enter' && place >= 0) { e.preventDefault(); S.activate(rows[place], 'table'); }
      else if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'a') { e.preventDefault(); S.choose(rows, 'join'); }
      else if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') { e.preventDefault(); box.current.scrollLeft += e.key === 'ArrowRight' ? 80 : -80; }
    };
    const touched = S.touched();
    const row = at => {
      const i = rows[at], chosen = !!S.chosen[i];
      return h('div', { key: at, id: 'pd-row-' + at, role: 'row', 'aria-rowindex': at + 2, 'aria-selected': chosen, className: (chosen ? 'chosen' : '') + (i === S.active ? ' active' : ''), style: { top: at * ROW, width: WIDE }, onClick: e => { anchor.current = at; if (e.shiftKey) act(at, true); else S.activate(i, 'table'); box.current.focus({ preventScroll: true }); } },
        h('div', { role: 'gridcell', className: 'tick', title: w.mark, style: { width: 34 }, onClick: e => { e.stopPropagation(); anchor.current = at; S.active = i; S.toggle(i); } }, h('i', { 'aria-hidden': true }), h('span', { className: 'pd-hide' }, chosen ? w.is_chosen : w.not_chosen)),
        COLUMNS.map(([name, width], k) => h('div', { key: name, role: k ? 'gridcell' : 'rowheader', 'data-column': name, 'data-value': name === 'state' ? value('state', i) : undefined, style: { width } }, name === 'planned' ? planned(touched[i]) : text(name, i))));
    };
    const shown = [];
    for (let at = first; at < last; at++) shown.push(row(at));
    const active = place >= first && place < last ? 'pd-row-' + place : undefined;
    return h('div', { className: 'pd-lamps' }, h(Choosing, { turn: S.turn }),
      h('div', { className: 'pd-row' }, h('label', { className: 'pick wide' }, h('span', null, w.search), h('input', { id: 'pd-search', type: 'search', value: S.filter.text, maxLength: 80, onChange: e => { S.filter = { ...S.filter, text: e.target.value }; if (box.current) box.current.scrollTop = 0; S.tell(); } }))),
      h(Filters, { w, f: S.filter, l: S.lamps }),
      h('p', { id: 'pd-count', className: 'pd-count', role: 'status' }, S.fill(w.count, { chosen: new Intl.NumberFormat(w.language).format(S.count), shown: new Intl.NumberFormat(w.language).format(rows.length), all: new Intl.NumberFormat(w.language).format(S.lamps.n) })),
      h('div', { ref: box, id: 'pd-table', role: 'grid', tabIndex: 0, 'aria-label': w.table, 'aria-rowcount': rows.length + 1, 'aria-colcount': COLUMNS.length + 1, 'aria-multiselectable': true, 'aria-describedby': 'pd-keys', 'aria-activedescendant': active, className: 'pd-table', onKeyDown: keys, onScroll: e => { S.scrolled = e.currentTarget.scrollTop; setTop(e.currentTarget.scrollTop); } },
        h('div', { role: 'row', 'aria-rowindex': 1, className: 'heads', style: { width: WIDE } }, h('div', { role: 'columnheader', className: 'tick', style: { width: 34 } }, h('span', { className: 'pd-hide' }, w.chosen_head)),
          COLUMNS.map(([name, width]) => h('div', { key: name, role: 'columnheader', 'aria-sort': S.sort.column === name ? (S.sort.down ? 'descending' : 'ascending') : 'none', style: { width } }, h('button', { type: 'button', tabIndex: -1, title: name === 'lux' && S.lamps.night ? S.fill(w.lux_note, { night: S.lamps.night }) : undefined, onClick: () => { S.sort = { column: name, down: S.sort.column === name && !S.sort.down }; S.tell(); } }, w.columns[name], S.sort.column === name ? (S.sort.down ? ' ▼' : ' ▲') : '')))),
        h('div', { role: 'rowgroup', style: { height: rows.length * ROW, width: WIDE } }, shown)),
      h('div', { className: 'pd-row pd-sort' }, h('label', { className: 'pick' }, h('span', null, w.sort_by), h('select', { value: S.sort.column, onChange: e => { S.sort = { column: e.target.value, down: false }; S.tell(); } }, COLUMNS.map(([name]) => h('option', { key: name, value: name }, w.columns[name])))), h('button', { type: 'button', className: 'btn small', 'aria-pressed': S.sort.down, onClick: () => { S.sort = { ...S.sort, down: !S.sort.down }; S.tell(); } }, w.backwards), h('span', { id: 'pd-keys', className: 'note' }, w.keys)));
  };
})();
