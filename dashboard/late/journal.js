/* The form of a journal entry. The server reads it as it reads anything from outside; here it is only filled in. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;

  /* A moment on the city's clock, as a field of a form has it. */
  const local = (moment, zone) => new Intl.DateTimeFormat('sv-SE', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(moment).replace(' ', 'T');

  N.late.JournalForm = p => {
    const q = name => p.labels['journal.' + name], first = R.useRef(null);
    const [given, set] = R.useState(() => ({ kind: p.kinds[0].value, title: '', start: local(new Date(N.shownAt || Date.now()), p.zone), end: '', place: '', owner: '', status: 'open', due: '' }));
    const [wrong, setWrong] = R.useState({}), [busy, setBusy] = R.useState(false), [said, say] = R.useState('');
    R.useEffect(() => { if (first.current) first.current.focus(); }, []);
    const change = name => e => { set({ ...given, [name]: e.target.value }); say(''); };
    const send = e => {
      e.preventDefault();
      if (busy) return;
      setBusy(true); setWrong({}); say('');
      fetch('/journal', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ lang: document.documentElement.lang, ...given }) })
        .then(r => r.json().then(told => [r.ok, told])).then(([fine, told]) => {
          if (fine) { say(told.said); set({ ...given, title: '', end: '', place: '', due: '' }); N.lookAgain(); if (first.current) first.current.focus(); } else {
            setWrong({ [told.field || 'all']: told.error });
            const field = document.getElementById('journal-' + told.field); if (field) field.focus();
          }
        }).catch(() => setWrong({ all: q('failed') })).finally(() => setBusy(false));
    };
    const row = (name, text, field) => h('label', { className: 'row', key: name }, h('span', null, text), h(field.type, { id: 'journal-' + name, value: given[name], onChange: change(name), 'aria-invalid': !!wrong[name], 'aria-describedby': wrong[name] ? 'journal-wrong' : undefined, autoComplete: 'off', ...field.props }, field.children),
      wrong[name] ? h('em', { id: 'journal-wrong', role: 'alert' }, wrong[name]) : null);
    const input = props => ({ type: 'input', props }), pick = options => ({ type: 'select', props: {}, children: options.map(o => h('option', { key: o.value, value: o.value }, o.label)) });
    const middle = () => { const c = N.map.getCenter(); set({ ...given, place: `${c.lng.toFixed(5)},${c.lat.toFixed(5)}` }); };
    return h('section', { className: 'places sheetform', role: 'dialog', 'aria-labelledby': 'journal-head', onKeyDown: e => { if (e.key === 'Escape') { e.stopPropagation(); p.close(); } } },
      h('button', { type: 'button', className: 'close', 'aria-label': q('cancel'), onClick: p.close }, '×'),
      h('h2', { id: 'journal-head' }, q('title')), h('p', { className: 'note' }, q('warn')),
      h('form', { className: 'scroll', onSubmit: send },
        row('kind', q('kind'), { ...pick(p.kinds), props: { ref: first } }),
        row('title', q('what'), input({ maxLength: 120, required: true })),
        row('start', q('start'), input({ type: 'datetime-local', required: true })),
        row('end', q('end'), input({ type: 'datetime-local' })),
        h('p', { className: 'note' }, q('clock') + ' ' + p.zone),
        row('place', q('place'), input({ maxLength: 80 })),
        h('button', { type: 'button', className: 'btn small', onClick: middle }, q('middle')),
        row('owner', q('owner'), input({ maxLength: 60 })), row('status', q('status'), pick(p.statuses)), row('due', q('due'), input({ type: 'date' })),
        h('div', { className: 'acts' }, h('button', { type: 'submit', className: 'btn', disabled: busy }, q('save')), h('button', { type: 'button', className: 'btn', onClick: p.close }, q('cancel'))),
        h('p', { className: 'note wrong', role: 'alert' }, wrong.all || ''), h('p', { role: 'status' }, said)));
  };
})();
