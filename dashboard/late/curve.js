/* A small line through the night in the colours of the theme: a picture takes no colour from a style sheet, so the names
   of colours that the server left in it, such as {soft}, are replaced by what the theme says. */
(function () {
  'use strict';
  const R = window.React, N = (window.noctule = window.noctule || {});
  N.late.Curve = p => {
    const [, again] = R.useState(0);
    R.useEffect(() => {
      const turn = () => again(n => n + 1);
      window.addEventListener('noctule-theme', turn);
      return () => window.removeEventListener('noctule-theme', turn);
    }, []);
    const worn = getComputedStyle(document.documentElement);
    const svg = p.svg.replace(/"\{(\w+)\}"/g, (_, name) => `"${worn.getPropertyValue('--' + name).trim()}"`);
    return R.createElement('img', { className: 'curve', alt: p.alt, src: 'data:image/svg+xml,' + encodeURIComponent(svg) });
  };
})();
