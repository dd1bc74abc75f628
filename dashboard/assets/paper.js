/* What goes onto paper: the sheet that the server sets, and what the browser's own print has. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement;
  const N = (window.noctule = window.noctule || {});

  N.SheetButton = p => {
    const [told, tell] = R.useState('');
    const make = () => {
      const v = N.view ? N.view() : {};
      if (!v.version || told === p.making) return;
      const b = N.inSight(), box = [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()].map(edge => edge.toFixed(6)).join();
      tell(p.making);
      fetch('/sheet?' + new URLSearchParams({ lang: document.documentElement.lang, run: v.run, frame: v.frame, layer: v.layer, over: (v.overlays || []).join('.'), zoom: Math.round(N.map.getZoom()), box, to: N.permalink() })).then(async r => {
        if (!r.ok) throw new Error();
        const name = /filename="([\w.-]+)"/.exec(r.headers.get('content-disposition') || ''), link = document.createElement('a');
        link.href = URL.createObjectURL(await r.blob()); link.download = name ? name[1] : 'noctule.pdf';
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
        tell('');
      }).catch(() => tell(p.failed));
    };
    return h(R.Fragment, null, h('button', { id: p.id, type: 'button', className: 'btn small', onClick: make }, p.label), h('span', { role: 'status' }, told));
  };

  /* The browser's print: the map in the size that it has, scaled onto the page, and the address of what it shows. */
  let folded = [];
  window.addEventListener('beforeprint', () => {
    const map = document.getElementById('map');
    N.printing = true; /* the page that changes its size now must not move the map */
    if (!map || !N.map) return;
    map.style.setProperty('--wide', map.clientWidth + 'px'); map.style.setProperty('--high', map.clientHeight + 'px');
    map.style.setProperty('--paper', Math.min(1000 / map.clientWidth, 480 / map.clientHeight));
    document.getElementById('main').dataset.link = N.permalink();
    folded = [...document.querySelectorAll('.fold:has(#legends):not([open])')];
    folded.forEach(one => { one.open = true; });
  });
  window.addEventListener('afterprint', () => { folded.forEach(one => { one.open = false; }); folded = []; N.printing = false; });
  /* Asked by its key, print waits until the map is drawn for light paper; from a menu it takes the map as it is. */
  document.addEventListener('keydown', e => {
    if (e.key !== 'p' || !(e.ctrlKey || e.metaKey) || e.altKey || e.shiftKey || !N.map || !document.getElementById('map') || N.ground() === 'light') return;
    e.preventDefault();
    const theme = N.theme, back = () => { N.theme = theme; N.dress(); window.removeEventListener('afterprint', back); };
    N.theme = () => 'light';
    const since = N.stats.paintedAt;
    N.dress();
    let tries = 0;
    const wait = setInterval(() => {
      if (++tries < 40 && (N.stats.paintedAt === since || document.querySelector('.leaflet-tile:not(.leaflet-tile-loaded)'))) return;
      clearInterval(wait);
      window.addEventListener('afterprint', back);
      window.print();
    }, 100);
  });
})();
