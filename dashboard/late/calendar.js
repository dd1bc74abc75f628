/* Nights by month: which have pages and how much of each is mapped. Choosing one opens it, or puts it beside. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;
  const DAY = 86400000, day = text => Date.parse(text + 'T00:00:00Z'), name = ms => new Date(ms).toISOString().slice(0, 10);

  /* The moment that is shown, as the same hour of another night: a link's `t` is absolute. */
  const sameHour = (from, to) => (N.shownAt && from ? new Date(Date.parse(N.shownAt) + day(to) - day(from)).toISOString().slice(0, 19) + 'Z' : '');

  /* A night that is chosen draws the page anew; the calendar stays as it was, with the focus where it was. */
  const was = { open: false, beside: false, focus: false };

  N.late.NightCalendar = p => {
    const q = p.labels, grid = R.useRef(null), byDay = R.useMemo(() => new Map(p.nights.map(one => [one[0], one])), [p.nights]);
    const names = R.useMemo(() => [...byDay.keys()].sort(), [byDay]);
    const [open, unfold] = R.useState(was.open), [beside, asBeside] = R.useState(was.beside);
    was.open = open; was.beside = beside;
    const [focus, move] = R.useState(p.value || names[names.length - 1] || name(Date.now()));
    const [wanted, want] = R.useState(0);
    R.useEffect(() => { if (was.focus) { was.focus = false; want(1); } }, []);
    R.useEffect(() => { if (p.value) move(p.value); }, [p.value]);
    R.useEffect(() => { if (wanted && grid.current) { const cell = grid.current.querySelector('[tabindex="0"]'); if (cell) cell.focus(); } }, [wanted]);
    const words = o => new Intl.DateTimeFormat(p.language === 'en' ? 'en-GB' : p.language, { timeZone: 'UTC', ...o });
    const long = words({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }), month = words({ month: 'long', year: 'numeric' });
    const said = ms => long.format(new Date(ms)), month_of = text => text.slice(0, 7);
    const at = names.indexOf(p.value), choose = night => {
      if (!byDay.has(night)) return;
      if (beside) { if (night !== p.value) N.go({ compare: night, t: N.shownAt || '' }); } else N.go({ night, t: sameHour(p.value, night), ...(p.beside === night ? { compare: p.value } : {}) });
    };
    const shown = month_of(focus), first = day(shown + '-01'), offset = (new Date(first).getUTCDay() + 6) % 7; /* weeks begin on Monday */
    const next = new Date(Date.UTC(+shown.slice(0, 4), +shown.slice(5, 7), 1)).getTime(), rows = [];
    for (let monday = first - offset * DAY; monday < next; monday += 7 * DAY) rows.push([0, 1, 2, 3, 4, 5, 6].map(i => monday + i * DAY));
    const months = [...new Set([...names.map(month_of), shown])].sort().reverse();
    const turn = by => { const d = new Date(first), to = new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth() + by, 1)), last = new Date(Date.UTC(to.getUTCFullYear(), to.getUTCMonth() + 1, 0)).getUTCDate(); move(name(Date.UTC(to.getUTCFullYear(), to.getUTCMonth(), Math.min(+focus.slice(8), last)))); };
    const keys = e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[e.key], weekday = (new Date(day(focus)).getUTCDay() + 6) % 7;
      if (step) move(name(day(focus) + step * DAY));
      else if (e.key === 'Home') move(name(day(focus) - weekday * DAY));
      else if (e.key === 'End') move(name(day(focus) + (6 - weekday) * DAY));
      else if (e.key === 'PageUp') turn(-1);
      else if (e.key === 'PageDown') turn(1);
      else if (e.key === 'Enter' || e.key === ' ') { was.focus = true; choose(focus); }
      else return;
      e.preventDefault();
      e.stopPropagation();
      want(n => n + 1);
    };
    const cell = ms => {
      const night = name(ms), one = byDay.get(night), inside = month_of(night) === shown;
      if (!inside) return h('td', { key: night, role: 'gridcell', 'aria-disabled': true, className: 'off' });
      const text = said(ms) + ', ' + (one ? q.steps.replace('{closed}', one[1]).replace('{steps}', one[2]) : q.none) + (one && one[4] ? ' ' + one[4] : '') + (night === p.beside ? ' ' + q.beside : '');
      return h('td', {
        key: night, role: 'gridcell', tabIndex: night === focus ? 0 : -1, 'aria-selected': night === p.value, 'aria-disabled': one ? undefined : true, 'aria-label': text, title: one ? text : undefined,
        className: (one ? 'has' : 'off') + (night === p.value ? ' on' : '') + (night === p.beside ? ' beside' : ''), onClick: () => { move(night); choose(night); },
      }, h('b', null, +night.slice(8)), one && one[4] ? h('i', { className: 'what ' + (one[3] || 'noted') }) : null,
      one ? h('span', { className: 'share' }, h('i', { style: { width: Math.round(100 * one[1] / Math.max(1, one[2])) + '%' } })) : null);
    };
    const jump = (to, label, sign) => h('button', { type: 'button', className: 'btn small', disabled: !to, 'aria-label': label + (to ? ': ' + said(day(to)) : ''), title: label, onClick: () => N.go({ night: to, t: sameHour(p.value, to) }) }, sign);
    const short = words({ weekday: 'narrow' }), full = words({ weekday: 'long' });
    return h('fieldset', { id: p.id, className: 'calendar' }, h('legend', null, p.legend),
      h('div', { className: 'jump' }, jump(names[at - 1], q.before, '‹'),
        h('button', { type: 'button', className: 'btn small this', 'aria-expanded': open, 'aria-controls': p.id + '-grid', title: q.open, onClick: () => unfold(!open) }, p.value ? words({ weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' }).format(new Date(day(p.value))) : q.open, h('i', { className: open ? 'up' : 'down', 'aria-hidden': 'true' })),
        jump(at < 0 ? undefined : names[at + 1], q.after, '›')),
      open ? h('div', { id: p.id + '-grid', className: 'month' },
        h('div', { className: 'jump' }, h('button', { type: 'button', className: 'btn small', 'aria-label': q.earlier, onClick: () => turn(-1) }, '‹'),
          h('select', { value: shown, 'aria-label': q.month, onChange: e => move(names.find(n => month_of(n) === e.target.value) || e.target.value + '-01') }, months.map(m => h('option', { key: m, value: m }, month.format(new Date(day(m + '-01')))))),
          h('button', { type: 'button', className: 'btn small', 'aria-label': q.later, onClick: () => turn(1) }, '›')),
        h('table', { role: 'grid', ref: grid, 'aria-label': month.format(new Date(first)), onKeyDown: keys },
          h('thead', null, h('tr', null, [0, 1, 2, 3, 4, 5, 6].map(i => h('th', { key: i, scope: 'col', abbr: full.format(new Date(4 * DAY + i * DAY)), 'aria-label': full.format(new Date(4 * DAY + i * DAY)) }, short.format(new Date(4 * DAY + i * DAY)))))),
          h('tbody', null, rows.map(row => h('tr', { key: row[0] }, row.map(cell))))),
        h('p', { className: 'key' }, h('i', { className: 'what holiday' }), h('i', { className: 'what noted' }), h('span', { className: 'share' }, h('i', { style: { width: '60%' } })), ' ', q.key),
        h('div', { className: 'chips', role: 'radiogroup', 'aria-label': q.as }, [[false, q.view], [true, q.compare]].map(([value, label]) => h('label', { key: label, className: beside === value ? 'chip on' : 'chip' },
          h('input', { type: 'radio', name: p.id + '-as', checked: beside === value, onChange: () => asBeside(value) }), h('span', null, label))))) : null);
  };
})();
