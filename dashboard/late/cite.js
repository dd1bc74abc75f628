/* How to cite what is shown: the server's words, with the layer, the step, the page and the address of this moment. */
(function () {
  'use strict';
  const R = window.React, h = R.createElement, N = window.noctule;

  N.late.Cite = p => {
    const q = p.labels, [, look] = R.useState(0), [done, tell] = R.useState('');
    R.useEffect(() => {
      const seen = () => { look(n => n + 1); tell(''); };
      window.addEventListener('noctule-view', seen);
      window.addEventListener('popstate', seen);
      return () => { window.removeEventListener('noctule-view', seen); window.removeEventListener('popstate', seen); };
    }, []);
    const view = (N.view && N.view()) || {}, layer = (view.layer || '').replace(/_(sd|lower|upper)$/, ''), step = N.shownAt || '';
    const link = N.permalink ? N.permalink() : location.href, today = new Date().toISOString().slice(0, 10);
    const fill = text => Object.entries({ layer: p.layers[layer] || layer, export: p.exports[layer] || layer, step, page: view.version || '', today, link }).reduce((all, [name, value]) => all.replaceAll(`{${name}}`, value), text);
    const copy = (name, text) => {
      const byHand = () => { const range = document.createRange(); range.selectNodeContents(document.getElementById(`${p.id}-${name}`)); getSelection().removeAllRanges(); getSelection().addRange(range); };
      if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => tell(name), byHand); else byHand();
    };
    const box = (name, text) => text ? h('div', { key: name, className: 'citation' }, h('h2', { id: `${p.id}-${name}-title` }, q[name]),
      h('pre', { id: `${p.id}-${name}`, tabIndex: 0, role: 'group', 'aria-labelledby': `${p.id}-${name}-title` }, text),
      h('button', { type: 'button', className: 'btn small', 'aria-label': `${q.copy}: ${q[name]}`, onClick: () => copy(name, text) }, q.copy), h('span', { role: 'status' }, done === name ? q.copied : '')) : null;
    return h('div', { id: p.id, className: 'cite' }, box('sentence', fill(p.text)), box('bibtex', fill(p.bibtex)), box('link', link), box('again', fill(p.command)), box('call', fill(p.call).replace(/step=(\S+)/, (_, at) => 'step=' + encodeURIComponent(at))));
  };
})();
