/* The desk of the Plan page: which lamps are chosen, what a scenario changes, its saves, its computing. What it knows
   lives in `N.plan` and not in elements, so that opening another scenario loses nothing; the table (plan-table.js) and
   the lamps on the map (plan-map.js) show the same. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const DEEP = 200; /* steps that can be undone */

  const S = N.plan = N.plan || {
    lamps: null, chosen: null, count: 0, shown: null, active: -1, tool: 'look', mode: 'replace', points: 0,
    list: [], scenario: null, changes: [], undo: [], redo: [], saved: 'none', told: '', conflict: null, jobs: [], tab: 'lamps', hidden: false,
    filter: { text: '', columns: {}, from: {}, to: {}, chosen: false }, sort: { column: 'lamp', down: false }, heard: new Set(), add: { lumens: 4000, watts: 30, height_m: 6, snap: true }, turn: 0,
  };
  S.tell = () => { S.turn += 1; S.heard.forEach(one => one()); };
  S.use = () => { const [, again] = R.useReducer(x => x + 1, 0); R.useEffect(() => { S.heard.add(again); return () => S.heard.delete(again); }, []); };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));
  S.fill = fill;

  /* Talking with the server: an answer is JSON, a refusal a sentence. */
  const where = path => path + (path.includes('?') ? '&' : '?') + 'lang=' + document.documentElement.lang;
  const ask = (path, given, raw) => fetch(where(path), given === undefined ? {} : { method: 'POST', headers: { 'content-type': raw ? 'application/toml' : 'application/json' }, body: raw ? given : JSON.stringify(given) })
    .then(r => r.json().catch(() => ({})).then(said => (r.ok ? said : Promise.reject({ status: r.status, ...said }))));
  const complain = e => { S.told = e && e.error ? e.error + (e.details ? '\n' + e.details : '') : S.words.wrong_net; S.tell(); };

  /* --- lamps ------------------------------------------------------------------------------------------------- */
  let asked = null;
  S.load = () => {
    if (!asked) asked = ask('/planning/lamps').then(c => {
      const n = c.n, lon = new Float64Array(n), lat = new Float64Array(n);
      /* Places and sections come as steps from one lamp to the next. */
      for (let i = 0, x = 0, y = 0, at = 0; i < n; i++) { lon[i] = (x += c.longitude[i]) / 1e6; lat[i] = (y += c.latitude[i]) / 1e6; c.section[i] = (at += c.section[i]); }
      const row = new Map(c.lamp.map((id, i) => [id, i]));
      const { words, codes } = c.coded.installed, years = words.map(word => (/^\d{4}/.test(word) ? +word.slice(0, 4) : null));
      S.lamps = { ...c, lon, lat, row, states: '', lux: [], night: '', year: codes.map(code => years[code]) };
      S.chosen = new Uint8Array(n); S.order = null; S.count = 0;
      S.tell();
      return ask('/planning/lamps/now.json').then(now => { Object.assign(S.lamps, now); S.lamps.turn = (S.lamps.turn || 0) + 1; S.tell(); });
    }).catch(e => { asked = null; complain(e); });
    return asked;
  };
  S.word = (name, i) => S.lamps.coded[name].words[S.lamps.coded[name].codes[i]];

  /* Choose rows: instead of what was chosen, beside it, or out of it. */
  S.choose = (rows, mode) => {
    if ((mode || S.mode) === 'replace') S.chosen.fill(0);
    const value = (mode || S.mode) === 'take' ? 0 : 1;
    for (const i of rows) S.chosen[i] = value;
    S.recount();
  };
  S.recount = () => { let n = 0; for (let i = 0; i < S.chosen.length; i++) n += S.chosen[i]; S.count = n; S.tell(); };
  S.toggle = i => { S.chosen[i] ^= 1; S.recount(); };
  S.rows = () => { const rows = []; for (let i = 0; i < S.chosen.length; i++) if (S.chosen[i]) rows.push(i); return rows; };
  const all = test => { const rows = []; for (let i = 0; i < S.lamps.n; i++) if (test(i)) rows.push(i); return rows; };
  S.all = all;
  S.street = name => { const at = S.lamps.coded.street.words.indexOf(name), codes = S.lamps.coded.street.codes; return at < 0 || !name ? [] : all(i => codes[i] === at); };
  S.inside = ring => {
    const xs = ring.map(p => p[0]), ys = ring.map(p => p[1]), west = Math.min(...xs), east = Math.max(...xs), south = Math.min(...ys), north = Math.max(...ys), { lon, lat } = S.lamps;
    return all(i => {
      const x = lon[i], y = lat[i];
      if (x < west || x > east || y < south || y > north) return false;
      let within = false;
      for (let a = 0, b = ring.length - 1; a < ring.length; b = a++) if ((ys[a] > y) !== (ys[b] > y) && x < (xs[b] - xs[a]) * (y - ys[a]) / (ys[b] - ys[a]) + xs[a]) within = !within;
      return within;
    });
  };
  /* The lamps that a change is about; an added lamp is not yet one. */
  S.about = change => (!S.lamps ? [] : change.lamps ? change.lamps.map(id => S.lamps.row.get(id)).filter(i => i !== undefined) : change.street ? S.street(change.street) : change.polygon ? S.inside(change.polygon) : []);
  /* What the scenario does to each lamp, by bit: 1 dims, 2 replaces, 4 removes. */
  S.touched = () => {
    if (!S.lamps) return null;
    if (S.touch && S.touch.of === S.changes && S.touch.lamps === S.lamps) return S.touch.bits;
    const bits = new Uint8Array(S.lamps.n);
    for (const change of S.changes) for (const i of S.about(change)) bits[i] |= { dim: 1, replace: 2, remove: 4 }[change.what] || 0;
    S.touch = { of: S.changes, lamps: S.lamps, bits };
    return bits;
  };
  S.added = () => S.changes.filter(c => c.what === 'add').flatMap(c => c.positions);
  /* Chosen lamps as a scenario names them: whole streets by name, else one by one. */
  const selectors = () => {
    const { codes, words } = S.lamps.coded.street, whole = new Int32Array(words.length), mine = new Int32Array(words.length);
    for (let i = 0; i < codes.length; i++) { whole[codes[i]] += 1; mine[codes[i]] += S.chosen[i]; }
    const streets = words.map((name, at) => at).filter(at => words[at] && mine[at] && mine[at] === whole[at]);
    const named = streets.reduce((n, at) => n + mine[at], 0);
    if (named === S.count && streets.length <= 10) return streets.map(at => ({ street: words[at] }));
    return [{ lamps: S.rows().map(i => S.lamps.lamp[i]) }];
  };

  /* --- the scenario: changes, undo, saving -------------------------------------------------------------------- */
  const put = changes => {
    if (S.busy) return; /* another scenario is on its way */
    S.undo = [...S.undo, S.changes].slice(-DEEP); S.redo = []; S.changes = changes; S.told = '';
    dirty();
  };
  S.undoOne = () => { if (!S.undo.length) return; S.redo = [...S.redo, S.changes]; S.changes = S.undo[S.undo.length - 1]; S.undo = S.undo.slice(0, -1); dirty(); };
  S.redoOne = () => { if (!S.redo.length) return; S.undo = [...S.undo, S.changes]; S.changes = S.redo[S.redo.length - 1]; S.redo = S.redo.slice(0, -1); dirty(); };
  S.apply = entries => { if (S.count) put([...S.changes, ...selectors().flatMap(who => entries.map(entry => ({ ...entry, ...who })))]); };
  S.drop = at => put(S.changes.filter((one, i) => i !== at));
  S.addLamp = (longitude, latitude) => {
    const { snap, ...given } = S.add, values = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== '' && v !== undefined));
    const last = S.changes[S.changes.length - 1], { what, positions, ...had } = last || {};
    const same = what === 'add' && JSON.stringify(had) === JSON.stringify(values);
    const place = at => put(same && S.changes[S.changes.length - 1] === last ? [...S.changes.slice(0, -1), { ...last, positions: [...positions, at] }] : [...S.changes, { what: 'add', positions: [at], ...values }]);
    if (!snap) { place([+longitude.toFixed(6), +latitude.toFixed(6)]); return; }
    ask(`/planning/snap?longitude=${longitude.toFixed(6)}&latitude=${latitude.toFixed(6)}`).then(at => place([at.longitude, at.latitude]), complain);
  };

  let timer = 0, saving = null, failed = null;
  const dirty = () => { S.saved = 'waiting'; S.tell(); clearTimeout(timer); timer = setTimeout(save, 900); };
  const save = () => {
    clearTimeout(timer);
    if (saving) return saving.then(() => (S.saved === 'waiting' ? save() : undefined));
    if (S.conflict || S.saved !== 'waiting') return Promise.resolve();
    const sent = S.changes, to = S.scenario, title = S.words.untitled;
    S.saved = 'saving'; failed = null; S.tell();
    const answer = to ? ask(`/planning/scenarios/${to.id}`, { revision: to.revision, changes: sent }) : ask('/planning/scenarios', { title, changes: sent });
    saving = answer.then(kept => {
      if (S.scenario !== to) return; /* another was opened meanwhile */
      S.scenario = { ...(to || {}), ...kept }; S.savedAt = kept.changed;
      S.saved = S.changes === sent ? 'saved' : 'waiting';
      if (!to) { N.address({ scenario: kept.name, computed: '' }); S.opened = kept.name; }
      relist();
    }, e => {
      if (S.scenario !== to) return;
      if (e.status === 409) { S.conflict = e.current; S.saved = 'stale'; S.tell(); return; }
      /* What is wrong with the changes stays wrong; a server that is away or has too much to do is asked again. */
      failed = !e.status || e.status === 429 || e.status >= 500 ? e : null;
      S.saved = failed ? 'waiting' : 'refused';
      complain(e);
    }).finally(() => { saving = null; if (S.saved === 'waiting' && !S.conflict) { clearTimeout(timer); timer = setTimeout(save, failed ? 4000 : 300); } S.tell(); });
    return saving;
  };
  /* Until all is saved that waits; refused where it cannot be now, so that nobody goes on without it. */
  S.flush = () => ((saving || S.saved === 'waiting') && !S.conflict ? save().then(() => (failed ? Promise.reject(failed) : S.flush())) : Promise.resolve());
  window.addEventListener('beforeunload', e => { if (S.saved === 'waiting' || S.saved === 'saving' || S.saved === 'stale' || S.saved === 'refused') e.preventDefault(); });

  const relist = () => ask('/planning/scenarios').then(all => { S.list = all.scenarios; S.tell(); }, complain);
  const take = whole => { const { changes, ...scenario } = whole; Object.assign(S, { scenario, changes, undo: [], redo: [], saved: 'saved', savedAt: scenario.changed, conflict: null, told: '' }); S.tell(); };
  const blank = () => Object.assign(S, { scenario: null, changes: [], undo: [], redo: [], saved: 'none', conflict: null, told: '' });
  /* Nothing is left behind: what waits is saved first, and what stands against somebody else's save becomes a copy. */
  const leave = () => (S.conflict ? ask('/planning/scenarios', { title: fill(S.words.copy_of, { title: S.conflict.title }).slice(0, 120), changes: S.changes }).then(() => { S.conflict = null; S.saved = 'none'; }) : S.flush());
  S.open = name => {
    if (S.opened === name) return relist();
    S.opened = name; S.busy = true;
    return leave().then(() => {
      blank();
      if (name === '-') { S.busy = false; S.tell(); return relist(); }
      return ask('/planning/scenarios').then(all => {
        S.list = all.scenarios;
        const one = S.list.find(s => s.name === name);
        return one && S.opened === name ? ask(`/planning/scenarios/${one.id}`).then(whole => { if (S.opened === name) take(whole); }) : S.tell();
      });
    }).catch(e => { S.opened = undefined; complain(e); }).finally(() => { S.busy = false; S.tell(); });
  };
  /* Another scenario is another address; the server then draws what it would change. */
  S.go = (name, more) => leave().then(() => {
    const to = new URL(location.href);
    to.searchParams.delete('computed'); to.searchParams.delete('compare');
    if (name) to.searchParams.set('scenario', name); else to.searchParams.set('scenario', '-');
    for (const [key, value] of Object.entries(more || {})) to.searchParams.set(key, value);
    history.pushState(history.state, '', to);
    window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
    return S.open(name || '-');
  }).catch(complain);
  S.make = given => S.flush().then(() => ask('/planning/scenarios', given)).then(kept => { take(kept); S.opened = kept.name; relist(); return S.go(kept.name); }, complain);
  S.importFile = file => {
    if (file.size > 1e6) { S.told = S.words.wrong_size; S.tell(); return; }
    S.flush().then(() => file.text()).then(text => ask('/planning/import', text, true)).then(kept => { take(kept); S.opened = kept.name; relist(); return S.go(kept.name); }, complain);
  };
  S.update = given => S.flush().then(() => ask(`/planning/scenarios/${S.scenario.id}`, { revision: S.scenario.revision, ...given })).then(kept => { S.scenario = { ...S.scenario, ...kept }; S.savedAt = kept.changed; relist(); }, e => { if (e.status === 409) { S.conflict = e.current; S.saved = 'stale'; S.tell(); } else complain(e); });
  const keep = () => S.flush().then(() => ask(`/planning/scenarios/${S.scenario.id}/keep`, {})).then(said => { S.scenario = { ...S.scenario, ...said }; S.tell(); }, complain);
  const restore = version => ask(`/planning/scenarios/${S.scenario.id}?version=${version}`).then(whole => put(whole.changes), complain);
  /* Two saved from one revision: theirs is kept as a version whatever is chosen. */
  const settle = how => {
    const theirs = S.conflict, mine = S.changes;
    if (how === 'theirs') return ask(`/planning/scenarios/${theirs.id}`).then(take, complain);
    if (how === 'copy') { S.conflict = null; S.saved = 'none'; return S.make({ title: fill(S.words.copy_of, { title: theirs.title }).slice(0, 120), changes: mine }); }
    return ask(`/planning/scenarios/${theirs.id}/keep`, {}).then(() => { S.scenario = { ...S.scenario, revision: theirs.revision }; S.conflict = null; dirty(); return save(); }, complain);
  };

  const compute = () => S.flush().then(() => (S.scenario && S.saved === 'saved' ? ask('/planning/jobs', { scenario: S.scenario.id }).then(() => { S.told = ''; S.tell(); return S.look(); }) : undefined)).catch(complain);
  const OPEN = ['waiting', 'running'];
  const hear = jobs => {
    const before = new Map(S.jobs.map(job => [job.id, job])), was = job => before.get(job.id) || {}, mine = job => S.scenario && job.scenario === S.scenario.id;
    S.jobs = jobs; S.tell();
    /* The table beside the map is drawn by the server: with the first look, and when all is done. */
    const done = jobs.find(job => mine(job) && job.state === 'done' && OPEN.includes(was(job).state)), look = jobs.find(job => mine(job) && job.state === 'running' && job.done && was(job).state && !was(job).done);
    if (done) S.go(done.name, { computed: done.id }); else if (look) S.go(look.name, { computed: look.id + '-look' });
  };

  /* --- what is shown ------------------------------------------------------------------------------------------ */
  const counted = (n, what) => fill(S.words[n === 1 || (n === 0 && S.words.language === 'fr') ? what + '_one' : what + '_many'], { count: new Intl.NumberFormat(S.words.language).format(n) });
  const whose = name => S.words.roles[name] || name;
  const clock = text => { const at = new Date(text); return isNaN(at) ? '' : new Intl.DateTimeFormat(S.words.language === 'en' ? 'en-GB' : S.words.language, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone: S.words.zone }).format(at); };
  const button = (text, act, more) => h('button', { type: 'button', className: 'btn small', onClick: act, ...more }, text);
  const number = (label, value, act, more) => h('label', { className: 'pd-field' }, h('span', null, label), h('input', { type: 'number', value: value === undefined || value === null ? '' : value, onChange: e => act(e.target.value === '' ? '' : +e.target.value), ...more }));

  const sentence = change => {
    const w = S.words, rows = change.lamps || change.what === 'add' ? [] : S.about(change), who = change.street ? fill(w.in_street, { street: change.street, lamps: counted(rows.length, 'lamps') }) : counted(change.what === 'add' ? change.positions.length : change.lamps ? change.lamps.length : rows.length, 'lamps');
    const span = change.hours ? fill(w.from_to, { from: change.hours[0], to: change.hours[1] }) : w.all_night;
    const values = Object.entries(change).filter(([key]) => w.values[key]).map(([key, value]) => fill(w.values[key], { value })).join(', ');
    if (change.what === 'dim') return `${who} · ${change.level === 0 ? w.off : fill(w.to_level, { level: Math.round(change.level * 100) })} · ${span}`;
    if (change.what === 'remove') return `${who} · ${w.removed}`;
    return `${who} · ${change.what === 'add' ? w.added : w.replaced} · ${values}` + (change.hours ? ' · ' + span : '');
  };

  function Head() {
    const w = S.words, open = S.jobs.filter(job => OPEN.includes(job.state)), own = S.scenario, last = own && S.jobs.find(job => job.scenario === own.id);
    const state = S.saved === 'none' ? (S.opened !== '-' && S.planned.includes(S.opened) ? w.of_file : w.not_begun) : S.saved === 'saved' ? fill(w.saved, { time: clock(S.savedAt), who: whose(own.changed_by), version: own.version }) : S.saved === 'stale' ? w.stale : S.saved === 'refused' ? w.not_saved : w.saving;
    return h('div', { className: 'pd-head' },
      h('div', { className: 'pd-row' },
        h('label', { className: 'pick' }, h('span', null, w.scenario),
          h('select', { id: 'pd-scenario', value: own ? own.name : '-', onChange: e => S.go(e.target.value === '-' ? '' : e.target.value) }, h('option', { value: '-' }, w.new_one),
            S.list.filter(one => !one.archived || (own && own.id === one.id)).map(one => h('option', { key: one.id, value: one.name }, one.title)))),
        button('↶ ' + w.undo, S.undoOne, { disabled: !S.undo.length, id: 'pd-undo', title: 'Ctrl+Z' }), button('↷ ' + w.redo, S.redoOne, { disabled: !S.redo.length, id: 'pd-redo', title: 'Ctrl+Shift+Z' }),
        h('button', { type: 'button', id: 'pd-run', className: 'btn small strong', disabled: !own || !S.changes.length || open.some(job => job.scenario === own.id) || !!S.conflict, onClick: compute }, w.compute)),
      h('p', { className: 'pd-state', role: 'status', 'data-saved': S.saved }, state, S.changes.length ? ' · ' + counted(S.changes.length, 'changes') : ''),
      S.conflict ? h('div', { className: 'pd-told', role: 'alert' }, h('p', null, fill(w.conflict, { who: whose(S.conflict.changed_by), time: clock(S.conflict.changed) })),
        h('div', { className: 'acts' }, button(w.take_theirs, () => settle('theirs')), button(w.keep_mine, () => settle('mine')), button(w.keep_copy, () => settle('copy')))) : null,
      S.told ? h('div', { className: 'pd-told', role: 'alert' }, h('p', null, S.told), button(w.close, () => { S.told = ''; S.tell(); })) : null,
      open.map(job => h('div', { key: job.id, className: 'pd-job' }, h('label', null, h('span', null, fill(job.state === 'waiting' ? w.job_waiting : job.done ? w.job_running : w.job_starting, { title: job.title, done: job.done, steps: job.steps })),
        h('progress', { max: job.steps || 1, ...(job.done ? { value: job.done } : {}) })), button(w.cancel, () => ask(`/planning/jobs/${job.id}/cancel`, {}).catch(complain)))),
      last && !OPEN.includes(last.state) && last.state !== 'done' ? h('p', { className: 'pd-told' }, w['job_' + last.state], last.message ? '\n' + last.message : '') : null);
  }

  const HOUR = /^([01]\d|2[0-3]):[0-5]\d$/;
  const EMPTY = { from: '', to: '', level: 50 };
  function Changes() {
    const w = S.words, [kind, setKind] = R.useState('dim'), [spans, setSpans] = R.useState([EMPTY]), [values, setValues] = R.useState({});
    const given = Object.fromEntries(Object.entries(values).filter(([, v]) => v !== '' && v !== undefined));
    const since = t => ((+t.slice(0, 2) + 12) % 24) * 60 + +t.slice(3);
    const wrong = kind === 'dim' ? (spans.some(s => (s.from === '') !== (s.to === '') || (s.from && !(HOUR.test(s.from) && HOUR.test(s.to)))) ? w.both_ends : spans.some(s => s.from && since(s.from) >= since(s.to)) ? w.ends_early : spans.some(s => s.level === '' || s.level < 0 || s.level > 100) ? w.level_range : '')
      : kind === 'replace' ? (!Object.keys(given).length ? w.give_one : Object.entries(given).some(([key, v]) => w.limits[key] && (v < w.limits[key][0] || v > w.limits[key][1])) ? fill(w.out_of_range, { names: Object.entries(given).filter(([key, v]) => w.limits[key] && (v < w.limits[key][0] || v > w.limits[key][1])).map(([key]) => `${w.fields[key]} (${w.limits[key][0]}–${w.limits[key][1]})`).join(', ') }) : '') : '';
    const apply = () => {
      if (wrong || !S.count) return;
      if (kind === 'dim') S.apply(spans.map(s => ({ what: 'dim', level: s.level / 100, ...(s.from ? { hours: [s.from, s.to] } : {}) })));
      else S.apply([{ what: kind, ...(kind === 'replace' ? given : {}) }]);
    };
    const span = (at, change) => setSpans(spans.map((s, i) => (i === at ? { ...s, ...change } : s)));
    const limits = key => ({ min: w.limits[key][0], max: w.limits[key][1], step: 'any' });
    return h('div', { className: 'pd-body' },
      h('h2', null, fill(w.change_chosen, { lamps: counted(S.count, 'lamps') })),
      h('fieldset', { className: 'choice' }, h('legend', null, w.what), h('div', { className: 'chips' }, ['dim', 'replace', 'remove'].map(name => h('label', { key: name, className: kind === name ? 'chip on' : 'chip' }, h('input', { type: 'radio', name: 'pd-what', checked: kind === name, onChange: () => setKind(name) }), h('span', null, w['what_' + name]))))),
      kind === 'dim' ? h('div', null, spans.map((s, i) => h('div', { key: i, className: 'pd-row' },
        h('label', { className: 'pd-field' }, h('span', null, w.from), h('input', { value: s.from, placeholder: '23:00', maxLength: 5, 'data-hour': 'from', onChange: e => span(i, { from: e.target.value.trim() }) })),
        h('label', { className: 'pd-field' }, h('span', null, w.to), h('input', { value: s.to, placeholder: '05:00', maxLength: 5, 'data-hour': 'to', onChange: e => span(i, { to: e.target.value.trim() }) })),
        number(w.level, s.level, level => span(i, { level }), { min: 0, max: 100 }), button(w.off, () => span(i, { level: 0 })), button(w.full, () => span(i, { level: 100 })),
        spans.length > 1 ? button(w.drop_hours, () => setSpans(spans.filter((one, at) => at !== i))) : null)),
      h('div', { className: 'acts' }, button(w.more_hours, () => setSpans([...spans, EMPTY])), h('span', null, w.hours_note))) : null,
      kind === 'replace' ? h('div', { className: 'pd-grid' }, Object.keys(w.limits).map(key => number(w.fields[key], values[key], v => setValues({ ...values, [key]: v }), { ...limits(key), placeholder: w.unchanged })),
        h('label', { className: 'pd-field' }, h('span', null, w.fields.luminaire), h('input', { value: values.luminaire || '', list: 'pd-luminaires', maxLength: 120, placeholder: w.unchanged, onChange: e => setValues({ ...values, luminaire: e.target.value }) })),
        h('datalist', { id: 'pd-luminaires' }, [...new Set([...(S.lamps ? S.lamps.coded.luminaire.words : []), 'road', 'lambert'])].filter(Boolean).map(one => h('option', { key: one, value: one })))) : null,
      h('div', { className: 'acts' }, h('button', { type: 'button', id: 'pd-apply', className: 'btn small strong', disabled: !!wrong || !S.count, onClick: apply }, fill(w.apply, { lamps: counted(S.count, 'lamps') })), h('span', { role: 'status' }, !S.count ? w.choose_first : wrong)),
      h(AddLamps),
      h('h2', null, w.changes),
      S.changes.length ? h('ol', { className: 'pd-changes' }, S.changes.map((change, i) => h('li', { key: i }, h('span', null, sentence(change)),
        h('span', { className: 'acts' }, change.what === 'add' ? null : button(w.choose_its, () => S.choose(S.about(change), 'replace'), { 'aria-label': w.choose_its + ': ' + sentence(change) }), button(w.drop, () => S.drop(i), { 'aria-label': w.drop + ': ' + sentence(change) }))))) : h('p', { className: 'note' }, w.no_changes));
  }

  function AddLamps() {
    const w = S.words, [place, setPlace] = R.useState(''), set = change => { S.add = { ...S.add, ...change }; S.tell(); };
    const at = place.split(/[,;\s]+/).filter(Boolean).map(Number), good = at.length === 2 && at.every(isFinite);
    return h('details', { className: 'fold' }, h('summary', null, w.add_lamps),
      h('div', { className: 'pd-grid' }, ['lumens', 'watts', 'height_m', 'cct_k'].map(key => number(w.fields[key], S.add[key], v => set({ [key]: v }), { min: w.limits[key][0], max: w.limits[key][1], step: 'any' }))),
      h('label', { className: 'check' }, h('input', { type: 'checkbox', checked: S.add.snap, onChange: e => set({ snap: e.target.checked }) }), h('span', null, w.snap)),
      h('div', { className: 'acts' }, button(w.add_click, () => { S.tool = S.tool === 'add' ? 'look' : 'add'; S.tell(); }, { 'aria-pressed': S.tool === 'add' }), button(w.add_centre, () => { const c = N.map.getCenter(); S.addLamp(c.lng, c.lat); })),
      h('div', { className: 'pd-row' }, h('label', { className: 'pd-field wide' }, h('span', null, w.place), h('input', { value: place, placeholder: '60.17010, 24.94120', maxLength: 40, onChange: e => setPlace(e.target.value) })), button(w.add_there, () => S.addLamp(at[1], at[0]), { disabled: !good })));
  }

  function Whole({ p }) {
    const w = S.words, own = S.scenario, [title, setTitle] = R.useState(own ? own.title : ''), [old, setOld] = R.useState(false), file = R.useRef(null);
    R.useEffect(() => setTitle(own ? own.title : ''), [own && own.id, own && own.title]);
    const to = name => where(`/planning/scenarios/${own.id}/${name}?scenario=${own.name}&format=${name.split('.')[1]}`);
    const archived = S.list.filter(one => one.archived);
    return h('div', { className: 'pd-body' },
      h('div', { className: 'acts' }, button(w.make, () => S.make({ title: w.untitled, changes: [] }), { id: 'pd-new' }), button(w.import, () => file.current.click()), h('input', { ref: file, id: 'pd-file', type: 'file', hidden: true, accept: '.toml', onChange: e => { if (e.target.files[0]) S.importFile(e.target.files[0]); e.target.value = ''; } })),
      own ? h(R.Fragment, null,
        h('form', { className: 'pd-row', onSubmit: e => { e.preventDefault(); S.update({ title }); } }, h('label', { className: 'pd-field wide' }, h('span', null, w.title), h('input', { id: 'pd-title', value: title, maxLength: 120, onChange: e => setTitle(e.target.value) })), h('button', { type: 'submit', className: 'btn small', disabled: !title.trim() || title === own.title }, w.rename)),
        h('p', { className: 'note' }, fill(w.made_by, { who: whose(own.author), name: own.name })),
        h('div', { className: 'acts' }, button(w.duplicate, () => S.make({ copy: own.id, title: fill(w.copy_of, { title: own.title }).slice(0, 120) })), button(own.archived ? w.unarchive : w.archive, () => S.update({ archived: !own.archived })), button(w.keep_version, keep)),
        S.changes.length ? h(R.Fragment, null, h('h2', null, w.out), h('p', { className: 'pd-links' }, h('a', { href: to('scenario.toml'), download: '' }, w.out_toml), h('a', { href: to('lamps.csv'), download: '' }, w.out_csv), h('a', { href: to('lamps.geojson'), download: '' }, w.out_geojson))) : null,
        h('h2', null, w.versions), h('ul', { className: 'pd-list' }, (own.versions || []).slice(0, 30).map(v => h('li', { key: v.version }, h('span', null, fill(w.version_line, { version: v.version, time: clock(v.saved), who: whose(v.author) }), v.kept ? ' · ' + w.kept : ''), v.version === own.version ? h('span', null, w.current) : button(w.restore, () => restore(v.version), { 'aria-label': fill(w.restore_version, { version: v.version }) }))))) : null,
      h('h2', null, w.jobs), S.jobs.length ? h('ul', { className: 'pd-list' }, S.jobs.slice(0, 8).map(job => h('li', { key: job.id }, h('span', null, fill(w.job_line, { title: job.title, version: job.version, who: whose(job.author), state: w['job_' + job.state + '_word'] })), job.state === 'done' ? button(w.show, () => S.go(job.name, { computed: job.id }), { 'aria-label': w.show + ': ' + job.title }) : null))) : h('p', { className: 'note' }, w.no_jobs),
      archived.length ? h(R.Fragment, null, button(fill(w.archived, { count: archived.length }), () => setOld(!old), { 'aria-expanded': old }), old ? h('ul', { className: 'pd-list' }, archived.map(one => h('li', { key: one.id }, h('span', null, one.title), button(w.open, () => S.go(one.name), { 'aria-label': w.open + ': ' + one.title })))) : null) : null);
  }

  function Compare({ p }) {
    const w = S.words, names = p.planned.map(one => one.name), [a, setA] = R.useState(names.includes(p.scenario) ? p.scenario : names[0]), [b, setB] = R.useState(names.find(name => name !== (names.includes(p.scenario) ? p.scenario : names[0]))), [told, tell] = R.useState({});
    R.useEffect(() => { let over = false; if (a && b) ask(`/planning/results?names=${a},${b}`).then(said => { if (!over) tell(said.results); }, complain); return () => { over = true; }; }, [a, b]);
    if (names.length < 2) return h('div', { className: 'pd-body' }, h('p', { className: 'note' }, w.two_needed));
    const one = told[a], two = told[b], heads = [...new Set([...(one ? one.rows : []), ...(two ? two.rows : [])].map(row => row[0]))], cell = (side, head) => (((side || {}).rows || []).find(row => row[0] === head) || ['', '–'])[1];
    const pick = (label, value, set) => h('label', { className: 'pick' }, h('span', null, label), h('select', { value, onChange: e => set(e.target.value) }, p.planned.map(s => h('option', { key: s.name, value: s.name }, s.title))));
    return h('div', { className: 'pd-body' }, h('div', { className: 'pd-row' }, pick('A', a, setA), pick('B', b, setB)),
      h('table', { className: 'pd-ab' }, h('caption', null, w.ab_caption), h('thead', null, h('tr', null, h('th', { scope: 'col' }, w.ab_what), h('th', { scope: 'col' }, 'A'), h('th', { scope: 'col' }, 'B'))), h('tbody', null, heads.map(head => h('tr', { key: head }, h('th', { scope: 'row' }, head), h('td', null, cell(one, head)), h('td', null, cell(two, head)))))),
      a !== b ? h('div', { className: 'acts' }, button(w.swipe, () => S.go(a, { compare: 'plan-' + b }), { id: 'pd-swipe' })) : null, h('p', { className: 'note' }, w.ab_note));
  }

  const Table = N.lateOf('plan-table', 'LampTable'), OnMap = N.lateOf('plan-map', 'LampsOnMap');
  N.late.PlanDesk = p => {
    S.words = p.words; S.planned = p.planned.map(one => one.name);
    S.use();
    R.useEffect(() => {
      if (!document.getElementById('pd-sheet')) { const link = document.createElement('link'); Object.assign(link, { id: 'pd-sheet', rel: 'stylesheet', href: `/late/${document.documentElement.dataset.late}/plan.css` }); document.head.appendChild(link); }
      S.load();
      /* A stream only while something is computed: a browser has few connections for all of its tabs. */
      let source = null, over = false;
      const follow = () => {
        const open = S.jobs.some(job => OPEN.includes(job.state));
        if (open && !source && !over) { source = new EventSource('/planning/events'); source.onmessage = e => { hear(JSON.parse(e.data)); follow(); }; }
        if ((!open || over) && source) { source.close(); source = null; }
      };
      const look = () => ask('/planning/jobs').then(all => { hear(all.jobs); follow(); }, () => 0);
      const seen = () => { if (!document.hidden) look(); };
      S.look = look;
      look();
      document.addEventListener('visibilitychange', seen);
      window.addEventListener('noctule-news', look);
      const keys = e => {
        if (!(e.ctrlKey || e.metaKey) || e.altKey || e.key.toLowerCase() !== 'z' || /^(input|textarea|select)$/i.test(e.target.tagName) && !/^(checkbox|radio|button)$/.test(e.target.type)) return;
        e.preventDefault();
        if (e.shiftKey) S.redoOne(); else S.undoOne();
      };
      document.addEventListener('keydown', keys);
      return () => { over = true; follow(); document.removeEventListener('visibilitychange', seen); window.removeEventListener('noctule-news', look); document.removeEventListener('keydown', keys); };
    }, []);
    R.useEffect(() => { S.open(p.scenario); }, [p.scenario]);
    const w = p.words, tabs = ['lamps', 'changes', 'whole', 'compare'];
    const to = (e, at) => { const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key]; if (!step) return; e.preventDefault(); S.tab = tabs[(at + step + tabs.length) % tabs.length]; S.tell(); setTimeout(() => document.getElementById('pd-tab-' + S.tab).focus(), 0); };
    /* The place itself is drawn by the server, so that the map has its width from the beginning. */
    R.useEffect(() => { const place = document.querySelector('.plandesk'); if (place) place.classList.toggle('folded', S.hidden); });
    return h(R.Fragment, null,
      h('div', { className: 'pd-top' }, h('div', { role: 'tablist', 'aria-label': w.name, className: 'pd-tabs' }, tabs.map((tab, at) => h('button', { key: tab, id: 'pd-tab-' + tab, type: 'button', role: 'tab', 'aria-selected': S.tab === tab, 'aria-controls': 'pd-panel', tabIndex: S.tab === tab ? 0 : -1, onKeyDown: e => to(e, at), onClick: () => { S.tab = tab; S.hidden = false; S.tell(); } }, w['tab_' + tab] + (tab === 'changes' && S.changes.length ? ` (${S.changes.length})` : '')))),
        button(S.hidden ? w.unfold : w.fold, () => { S.hidden = !S.hidden; S.tell(); }, { 'aria-expanded': !S.hidden })),
      S.hidden ? null : h(Head),
      h('div', { id: 'pd-panel', role: 'tabpanel', 'aria-labelledby': 'pd-tab-' + S.tab, tabIndex: S.tab === 'lamps' ? -1 : 0, className: 'pd-panel', hidden: S.hidden }, S.tab === 'lamps' ? h(Table) : S.tab === 'changes' ? h(Changes) : S.tab === 'whole' ? h(Whole, { p }) : h(Compare, { p })),
      h(OnMap));
  };
})();
