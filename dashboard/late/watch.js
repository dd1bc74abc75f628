/* Watched places: named by who watches, kept in this browser only; one request asks for the values of all of them. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const MOST = 20, LONGEST = 40;

  const sane = list => (Array.isArray(list) ? list : []).filter(one => one && typeof one.name === 'string' && one.name.trim() && one.name.length <= LONGEST && Math.abs(one.lat) <= 90 && Math.abs(one.lon) <= 180)
    .map(one => ({ name: one.name, lat: +one.lat, lon: +one.lon })).slice(0, MOST);
  const load = () => { try { return sane(JSON.parse(N.kept('places') || '[]')); } catch (e) { return []; } };
  /* lat,lon,name;lat,lon,name: names hold no semicolon */
  const packed = list => list.map(one => `${one.lat.toFixed(5)},${one.lon.toFixed(5)},${one.name}`).join(';');
  const unpacked = text => sane(text.split(';').map(part => { const [lat, lon, ...name] = part.split(','); return { lat: parseFloat(lat), lon: parseFloat(lon), name: name.join(',') }; }));
  const post = (path, body) => fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ lang: document.documentElement.lang, ...body }) }).then(r => (r.ok ? r.json() : Promise.reject(r.status)));

  N.late.Watched = p => {
    const q = name => p.labels['watch.' + name], view = p.view || {};
    const [places, setPlaces] = R.useState(load), [cards, setCards] = R.useState([]), [mark, setMark] = R.useState('');
    const [form, setForm] = R.useState(null), [wrong, setWrong] = R.useState(''), [gone, setGone] = R.useState(null), [told, tell] = R.useState(''), [link, setLink] = R.useState('');
    const [brought, setBrought] = R.useState(() => unpacked(N.asked('watch')));
    const field = R.useRef(null), strip = R.useRef(null);
    const keep = list => { setPlaces(list); if (!N.keep('places', list.length ? JSON.stringify(list) : '')) tell(q('failed')); };
    const start = at => {
      setWrong('');
      if (places.length >= MOST) { tell(q('full')); return; }
      setForm({ at, name: '', index: -1 });
    };

    const now = R.useRef(start); now.current = start;
    R.useEffect(() => {
      const wanted = e => now.current(e.detail);
      window.addEventListener('noctule-watch', wanted);
      if (N.watchWanted) { now.current(N.watchWanted); N.watchWanted = null; }
      return () => window.removeEventListener('noctule-watch', wanted);
    }, []);
    R.useEffect(() => { if (form && field.current) field.current.focus(); }, [form && form.index, form && form.at]);

    const spots = JSON.stringify(places.map(one => [one.lat, one.lon])), shown = [view.run, view.frame, view.version, view.layer].join('/');
    R.useEffect(() => {
      if (!places.length || !view.version) return undefined;
      let over = false;
      const timer = setTimeout(() => post('/watch?run=' + encodeURIComponent(view.run), { frame: view.frame, layer: view.layer, places: JSON.parse(spots) }).then(found => { if (!over) { setCards(found.places); setMark(found.simulated || ''); tell(''); } }, () => { if (!over) tell(q('failed')); }), N.playing ? 900 : 120);
      return () => { over = true; clearTimeout(timer); };
    }, [spots, shown, document.documentElement.lang]);

    /* Numbers on the map, the same as on the cards. */
    R.useEffect(() => {
      const L = window.L, map = N.map;
      if (!map) return undefined;
      const pins = places.map((one, i) => { const text = document.createElement('b'); text.textContent = i + 1; return L.marker([one.lat, one.lon], { interactive: false, keyboard: false, icon: L.divIcon({ className: 'watchpin', iconSize: [24, 24], html: text }) }).addTo(map); });
      return () => pins.forEach(pin => pin.remove());
    }, [spots, shown, N.map]);

    const submit = e => {
      e.preventDefault();
      post('/watch/names', { names: [form.name] }).then(({ names: [found] }) => {
        if (found.wrong) { setWrong(found.wrong); field.current.focus(); return; }
        const list = form.index < 0 ? [...places, { name: found.name, ...form.at }] : places.map((one, i) => (i === form.index ? { ...one, name: found.name } : one));
        keep(list); setForm(null); setWrong(''); setGone(null);
        setTimeout(() => { const one = strip.current && strip.current.querySelectorAll('.card .go')[form.index < 0 ? list.length - 1 : form.index]; if (one) one.focus(); }, 60);
      }, () => setWrong(q('failed')));
    };
    const move = (i, by) => {
      const order = list => { const copy = [...list], [one] = copy.splice(i, 1); copy.splice(i + by, 0, one); return copy; };
      setCards(cards.length === places.length ? order(cards) : cards); keep(order(places));
      setTimeout(() => { const card = strip.current.querySelectorAll('.card')[i + by], one = card && (card.querySelector(by < 0 ? '.earlier:not(:disabled)' : '.later:not(:disabled)') || card.querySelector('.go')); if (one) one.focus(); }, 60);
    };
    const remove = i => { setGone({ one: places[i], index: i }); setCards(cards.filter((_, k) => k !== i)); keep(places.filter((_, k) => k !== i)); setTimeout(() => { const undo = strip.current && strip.current.querySelector('.undo'); if (undo) undo.focus(); }, 60); };
    const undo = () => { const list = [...places]; list.splice(gone.index, 0, gone.one); setCards([]); keep(list.slice(0, MOST)); setGone(null); };
    const copy = () => {
      const to = new URL(N.permalink()); to.searchParams.delete('at'); to.searchParams.set('watch', packed(places));
      const byHand = () => setLink(to.href);
      if (navigator.clipboard) navigator.clipboard.writeText(to.href).then(() => tell(q('copied')), byHand); else byHand();
    };
    const refuse = () => { N.address({ watch: '' }); setBrought([]); };
    const take = () => post('/watch/names', { names: brought.map(one => one.name) }).then(({ names }) => {
      const fine = brought.filter((_, i) => !names[i].wrong), known = new Set(places.map(one => packed([one])));
      keep([...places, ...fine.filter(one => !known.has(packed([one])))].slice(0, MOST));
      const bad = brought.map((one, i) => (names[i].wrong ? `${one.name}: ${names[i].wrong}` : '')).filter(Boolean);
      tell(bad.length ? q('refused') + ' ' + bad.join(' ') : ''); refuse();
    }, () => tell(q('failed')));
    const go = one => { if (N.map) N.map.setView([one.lat, one.lon], Math.max(16, N.map.getZoom())); };
    const small = (name, text, label, onClick, disabled) => h('button', { type: 'button', className: 'mini ' + name, 'aria-label': label, title: label, onClick, disabled }, text);

    if (!places.length && !form && !gone && !brought.length && !told) return null;
    return h('section', { id: p.id, className: 'watch', 'aria-label': q('name'), ref: strip },
      brought.length ? h('div', { className: 'ask' }, h('p', null, q('brought') + ' ' + brought.map(one => one.name).join(' · ')), h('button', { type: 'button', className: 'btn small keepthem', onClick: take }, q('keep')), h('button', { type: 'button', className: 'btn small', onClick: refuse }, q('drop'))) : null,
      form ? h('form', { className: 'ask', onSubmit: submit, onKeyDown: e => { if (e.key === 'Escape') { e.stopPropagation(); setForm(null); } } },
        h('label', null, h('span', null, q('label')), h('input', { ref: field, value: form.name, maxLength: LONGEST, 'aria-invalid': !!wrong, 'aria-describedby': 'watch-told', autoComplete: 'off', onChange: e => setForm({ ...form, name: e.target.value }) })),
        h('button', { type: 'submit', className: 'btn small' }, q('save')), h('button', { type: 'button', className: 'btn small', onClick: () => setForm(null) }, q('cancel')),
        h('p', { id: 'watch-told', className: wrong ? 'note wrong' : 'note', role: wrong ? 'alert' : undefined }, wrong || q('note'))) : null,
      gone || told ? h('p', { className: 'ask', role: 'status' }, gone ? q('removed') + ' ' + gone.one.name + ' ' : told, gone ? h('button', { type: 'button', className: 'btn small undo', onClick: undo }, q('undo')) : null) : null,
      link ? h('label', { className: 'pick ask' }, h('span', null, q('byhand')), h('input', { readOnly: true, value: link, onFocus: e => e.target.select() })) : null,
      places.length ? h('div', { className: 'cards', role: 'group', tabIndex: 0, 'aria-label': q('name') }, h('ol', null, places.map((one, i) => {
        const c = cards[i] || {};
        return h('li', { key: i, className: 'card' },
          h('button', { type: 'button', className: 'go', title: q('show'), onClick: () => go(one) }, h('b', { className: 'number', 'aria-hidden': true }, i + 1), h('span', null, one.name)),
          h('p', { className: c.state === 'value' ? 'value' : 'note' }, c.told || '…'),
          c.likely ? h('p', { className: 'note' }, c.likely) : null,
          c.confidence ? h('p', { className: 'note sureness' }, c.confidence, h('span', { className: 'dots', 'aria-hidden': true }, [0, 1, 2, 3].map(k => h('i', { key: k, className: k <= c.tier ? 'dot on' : 'dot' })))) : null,
          h('div', { className: 'foot' }, c.curve ? h(N.Curve, { svg: c.curve, alt: c.alt }) : null, h('div', { className: 'deeds' },
            small('earlier', '←', `${q('left')}: ${one.name}`, () => move(i, -1), i === 0), small('later', '→', `${q('right')}: ${one.name}`, () => move(i, 1), i === places.length - 1),
            small('rename', '✎', `${q('rename')}: ${one.name}`, () => { setWrong(''); setForm({ at: null, name: one.name, index: i }); }), small('remove', '×', `${q('remove')}: ${one.name}`, () => remove(i)))));
      })), h('div', { className: 'rest' }, mark ? h('p', { className: 'simulated' }, mark) : null, h('button', { type: 'button', className: 'btn small copythem', onClick: copy }, q('copy')))) : null);
  };
})();
