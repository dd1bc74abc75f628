/* Pictures of the view to take along: one frame, or the night as a loop. The server draws them; while it does the button
   says so and how long it has been at it. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;

  N.late.Pictures = p => {
    const q = p.labels, [making, make] = R.useState(''), [seconds, count] = R.useState(0), [said, say] = R.useState('');
    R.useEffect(() => {
      if (!making) return undefined;
      const began = performance.now(), timer = setInterval(() => count(Math.round((performance.now() - began) / 1000)), 500);
      return () => clearInterval(timer);
    }, [making]);
    const take = kind => {
      const view = N.view(), b = N.map.getBounds(), loop = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(N.asked('loop'));
      if (view.layer.startsWith('usual_')) { say(q.failed); return; }
      const query = new URLSearchParams({ run: view.run, layer: view.layer, frame: view.frame, ground: N.ground(), lang: document.documentElement.lang, format: kind, box: [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()].map(n => n.toFixed(5)).join(',') });
      if (loop && kind !== 'png') { query.set('from', loop[1]); query.set('to', loop[2]); }
      make(kind); count(0); say('');
      fetch('/picture?' + query).then(r => (r.ok ? r.blob() : Promise.reject(r.status))).then(body => {
        const link = document.createElement('a'), to = URL.createObjectURL(body);
        link.href = to; link.download = `${p.city}-${view.run}-${view.layer}${kind === 'png' ? '-' + (N.shownLabel || '').replace(':', '') : ''}.${kind}`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(to), 10000);
        say(q.done);
      }).catch(status => say(status === 429 ? q.busy : q.failed)).finally(() => make(''));
    };
    return h('div', { id: p.id, className: 'exports' }, h('span', null, q.title), ['png', 'webp', 'gif'].map(kind => h('button', { key: kind, type: 'button', className: 'btn small', disabled: !!making, 'aria-busy': making === kind, onClick: () => take(kind) }, making === kind ? q.making.replace('{seconds}', seconds) : q[kind])), h('span', { role: 'status' }, said));
  };
})();
