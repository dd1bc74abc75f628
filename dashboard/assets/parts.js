/* Controls as plain HTML, and what follows the server. Each is a Dash component (dashboard/components.py). */
(function () {
  'use strict';
  const R = window.React, h = R.createElement;
  const N = (window.noctule = window.noctule || {});

  /* A component whose script comes only when it is first shown: `late('plan', 'LampTable')` of /late/DIGEST/plan.js. It registers itself as window.noctule.late.LampTable. */
  const fetched = {};
  const bring = name => (fetched[name] = fetched[name] || new Promise((done, failed) => {
    const script = document.createElement('script');
    script.src = `/late/${document.documentElement.dataset.late}/${name}.js`;
    script.onload = done;
    script.onerror = () => { delete fetched[name]; failed(new Error(name)); };
    document.head.appendChild(script);
  }));
  const late = (file, name) => p => {
    const [, again] = R.useState(0);
    R.useEffect(() => {
      let over = false;
      const more = tries => bring(file).then(() => { if (!over) again(1); }, () => { if (!over && tries < 5) setTimeout(() => more(tries + 1), 2000); });
      if (!N.late[name]) more(0);
      return () => { over = true; };
    }, []);
    return N.late[name] ? h(N.late[name], p) : null;
  };
  N.late = {}; N.lately = late; N.bring = bring;
  N.Compare = late('compare', 'Compare');
  N.lateOf = late; /* for scripts that came late themselves */
  N.PlanDesk = late('plan', 'PlanDesk');
  N.NightCalendar = late('calendar', 'NightCalendar');
  N.TimeTools = late('timeline', 'TimeTools');
  N.Curve = late('curve', 'Curve');
  N.Probes = late('probes', 'Probes');
  N.Cite = late('cite', 'Cite');
  N.Residuals = late('residuals', 'Residuals');
  N.Pictures = late('picture', 'Pictures');

  /* The theme of the address; where it names none, what the device prefers. A map is drawn on one of three grounds. */
  const THEMES = ['dark', 'light', 'contrast', 'projector'], prefers = what => matchMedia(`(prefers-${what})`);
  const devices = [prefers('contrast: more'), prefers('color-scheme: light')];
  N.theme = () => (THEMES.includes(N.asked('theme')) ? N.asked('theme') : devices[0].matches ? 'contrast' : devices[1].matches ? 'light' : 'dark');
  N.ground = () => (N.theme() === 'projector' ? 'dark' : N.theme());
  N.dress = () => {
    const before = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = N.theme();
    for (const link of document.querySelectorAll('a.page-tab')) { const to = new URL(link.href); if (N.asked('theme')) to.searchParams.set('theme', N.asked('theme')); else to.searchParams.delete('theme'); link.href = to; }
    const meta = document.querySelector('meta[name=theme-color]');
    if (meta) meta.content = getComputedStyle(document.documentElement).getPropertyValue('--ground').trim();
    if (before !== N.theme()) window.dispatchEvent(new Event('noctule-theme'));
  };

  /* What a browser keeps of its own; in a private window it may keep nothing. */
  N.kept = name => { try { return localStorage.getItem('noctule-' + name) || ''; } catch (e) { return ''; } };
  N.keep = (name, text) => { try { if (text) localStorage.setItem('noctule-' + name, text); else localStorage.removeItem('noctule-' + name); return true; } catch (e) { return false; } };
  /* The view stands in the address: what is shown can be sent to somebody, and a choice is a step that Back undoes. */
  N.asked = name => new URLSearchParams(location.search).get(name) || '';
  N.address = (changes, step) => {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) { if (value === '' || value === null || value === undefined) query.delete(name); else query.set(name, value); }
    const text = query.toString();
    history[step ? 'pushState' : 'replaceState'](history.state, '', location.pathname + (text ? '?' + text : '') + location.hash);
  };
  /* A control follows the address when somebody goes back. */
  N.follows = (p, read) => {
    const now = R.useRef(p); now.current = p;
    R.useEffect(() => {
      const back = () => { const value = read(now.current); if (String(value) !== String(now.current.value)) now.current.setProps({ value }); };
      window.addEventListener('popstate', back);
      return () => window.removeEventListener('popstate', back);
    }, []);
  };
  const one = p => { const value = N.asked(p.id); return p.options.some(o => o.value === value) ? value : p.options[0].value; };

  N.Choice = p => { N.follows(p, one); return h('fieldset', { id: p.id, className: 'choice' }, h('legend', null, p.legend), h('div', { className: 'chips' }, p.options.map(o =>
    h('label', { key: o.value, className: o.value === p.value ? 'chip on' : 'chip' },
      h('input', { type: 'radio', name: p.id, value: o.value, checked: o.value === p.value, onChange: () => { N.address({ [p.id]: o.value }, true); p.setProps({ value: o.value }); } }),
      h('span', null, o.label))))); };

  N.Pick = p => { N.follows(p, one); return h('label', { className: 'pick' }, h('span', null, p.legend),
    h('select', { id: p.id, value: p.value, onChange: e => { N.address({ [p.id]: e.target.value }, true); p.setProps({ value: e.target.value }); } },
      p.options.map(o => h('option', { key: o.value, value: o.value, disabled: !!o.disabled }, o.label)))); };

  N.ThemePick = p => {
    N.follows(p, () => (THEMES.includes(N.asked('theme')) ? N.asked('theme') : ''));
    R.useEffect(() => {
      N.dress();
      devices.forEach(device => device.addEventListener('change', N.dress));
      return () => devices.forEach(device => device.removeEventListener('change', N.dress));
    });
    return h('label', { className: 'theme' }, h('span', null, p.legend),
      h('select', { id: p.id, value: p.value, 'aria-label': p.legend, onChange: e => { N.address({ theme: e.target.value }, true); p.setProps({ value: e.target.value }); } },
        p.options.map(o => h('option', { key: o.value, value: o.value }, o.label))));
  };

  N.Choices = p => { N.follows(p, p => N.asked('over').split('.').filter(v => p.options.some(o => o.value === v))); return h('fieldset', { id: p.id, className: 'choices' }, h('legend', null, p.legend), p.options.map(o =>
    h('label', { key: o.value, className: 'check' },
      h('input', { type: 'checkbox', checked: p.value.includes(o.value), onChange: e => {
        const value = e.target.checked ? [...p.value, o.value] : p.value.filter(v => v !== o.value);
        N.address({ over: value.join('.') }, true); p.setProps({ value });
      } }), h('i', { className: 'dotkey ' + o.value }), h('span', null, o.label)))); };

  /* An address that shows the same view tomorrow: the step in it is a moment, not a place on tonight's bar. */
  N.permalink = () => {
    const to = new URL(location.href);
    if (N.shownAt) to.searchParams.set('t', N.shownAt);
    to.searchParams.set('lang', document.documentElement.lang);
    if (N.theme() === 'projector') to.searchParams.delete('theme');
    return to.href;
  };
  N.CopyLink = p => {
    const [told, tell] = R.useState('');
    const copy = () => {
      const link = N.permalink(), byHand = () => tell(link);
      if (navigator.clipboard) navigator.clipboard.writeText(link).then(() => tell('copied'), byHand); else byHand();
    };
    return h(R.Fragment, null, h('button', { id: p.id, type: 'button', className: 'btn small', onClick: copy }, p.label), h('span', { role: 'status' }, told === 'copied' ? p.copied : ''),
      told && told !== 'copied' ? h('label', { className: 'pick' }, h('span', null, p.by_hand), h('input', { readOnly: true, value: told, onFocus: e => e.target.select() })) : null);
  };
  N.Wall = p => {
    const [link, show] = R.useState('');
    R.useEffect(() => {
      const look = () => show(N.theme() === 'projector' && N.shownAt ? N.permalink() : '');
      const timer = setInterval(look, 2000);
      look();
      return () => clearInterval(timer);
    }, []);
    return h('aside', { id: p.id, className: 'wall', 'aria-label': p.label }, link ? h('img', { src: '/qr.svg?to=' + encodeURIComponent(link), alt: p.alt }) : null,
      h('div', null, p.label, h('br'), h('a', { href: link || '#' }, location.host)));
  };
  /* What the table lists is what the map shows at this moment; it changes only when it is asked for again. */
  N.TableButton = p => h('button', { id: p.id, type: 'button', className: 'btn small', 'aria-haspopup': 'dialog', onClick: () => {
    const v = N.view ? N.view() : {}, b = N.map.getBounds();
    p.setProps({ asked: { run: v.run, frame: v.frame, version: v.version, layer: v.layer, zoom: Math.round(N.map.getZoom()), box: [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()], turn: ((p.asked || {}).turn || 0) + 1 } });
    let tries = 0;
    const wait = setInterval(() => { const title = document.getElementById('places-title'); if (title && title.offsetParent) title.focus(); if (++tries > 100 || document.activeElement === title) clearInterval(wait); }, 50);
  } }, p.label);

  N.RoleSwitch = p => h('label', { className: 'role', title: p.note }, h('span', null, p.label),
    h('select', { id: p.id, value: p.value, onChange: e => fetch('/role', { method: 'POST', body: 'role=' + e.target.value }).then(() => location.reload()) },
      p.options.map(o => h('option', { key: o.value, value: o.value }, o.label))), h('small', null, p.note));

  /* Open an address on this page without loading everything anew: Dash's Location hears it and asks for the page. */
  N.go = (changes, path) => {
    const query = new URLSearchParams(path ? '' : location.search);
    for (const [name, value] of Object.entries(changes)) { if (value === '') query.delete(name); else query.set(name, value); }
    history.pushState(null, '', (path || location.pathname) + '?' + query + (path ? '' : location.hash));
    window.dispatchEvent(new PopStateEvent('popstate'));
  };
  document.addEventListener('click', e => {
    const link = e.target.closest && e.target.closest('a.page-tab, a.lang, .scenario a');
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
    e.preventDefault();
    const to = new URL(link.href);
    if (link.dataset.lang) N.go({ lang: link.dataset.lang });
    else N.go(Object.fromEntries(to.searchParams), to.pathname);
  });
  const speak = () => { document.documentElement.lang = N.asked('lang') === 'fr' ? 'fr' : 'en'; N.dress(); };
  window.addEventListener('popstate', speak);
  N.dress();

  /* The step of a moment, or of a number as addresses once had it. */
  N.frameAt = (frames, t) => {
    if (/^\d{1,4}$/.test(t)) return +t < frames.length ? +t : undefined;
    const at = Date.parse(t);
    if (isNaN(at) || !frames.length) return undefined;
    const from = i => Math.abs(Date.parse(frames[i].at) - at);
    return frames.reduce((best, f, i) => (from(i) < from(best) ? i : best), 0);
  };

  N.TimeBar = p => {
    const scene = p.scene || {}, frames = scene.frames || [], q = p.labels, last = frames.length - 1;
    const mapped = frames.map((f, i) => (f.version ? i : -1)).filter(i => i >= 0);
    const nearest = v => mapped.reduce((best, i) => (Math.abs(i - v) < Math.abs(best - v) ? i : best), mapped[0]);
    const newest = scene.live !== null && scene.live !== undefined ? scene.live : mapped[mapped.length - 1];
    const [told, tell] = R.useState('');
    const now = R.useRef({}); now.current = { p, mapped, newest };
    R.useEffect(() => {
      if (!mapped.length) return;
      /* A replay opens at 23:00, the hour that most questions are about. */
      const given = N.frameAt(frames, N.asked('t'));
      const start = p.value === null || p.value === undefined ? given !== undefined ? given : Math.max(0, frames.findIndex(f => f.label === '23:00')) : p.value;
      const value = p.follow ? newest : nearest(start);
      if (value !== p.value) p.setProps({ value });
    }, [p.scene, p.follow]);
    R.useEffect(() => {
      N.playing = !!p.playing;
      if (!p.playing) return undefined;
      let timer = 0;
      const pace = () => (N.pace ? N.pace() : 600), tick = () => {
        const { p, mapped, newest } = now.current, next = N.after ? N.after(mapped, p.value) : mapped.find(i => i > p.value);
        timer = setTimeout(tick, pace());
        if (document.hidden || (N.busy && N.busy())) return; /* no step before the last one is on the screen */
        if (next === undefined) p.setProps({ playing: false, follow: scene.live !== null && p.value === newest });
        else move(next, false);
      };
      timer = setTimeout(tick, pace());
      window.dispatchEvent(new Event('noctule-view'));
      return () => clearTimeout(timer);
    }, [p.playing]);
    const move = (value, follow) => { N.address({ t: follow ? '' : (frames[value] || {}).at }); p.setProps({ value, follow }); };
    R.useEffect(() => {
      const back = () => {
        const { p, newest } = now.current, value = N.frameAt((p.scene || {}).frames || [], N.asked('t'));
        if (value === undefined) { if (newest !== undefined && p.scene.live !== null) p.setProps({ value: newest, follow: true }); } else p.setProps({ value, follow: false });
      };
      window.addEventListener('popstate', back);
      return () => window.removeEventListener('popstate', back);
    }, []);
    N.bar = { frames, mapped, value: p.value, move, nearest, step: by => { const next = by < 0 ? [...mapped].reverse().find(i => i < p.value) : mapped.find(i => i > p.value); if (next !== undefined) move(next, false); } };
    R.useEffect(() => { window.dispatchEvent(new Event('noctule-bar')); }, [p.scene]);
    N.togglePlay = () => {
      if (!mapped.length) return;
      if (!p.playing && p.value >= mapped[mapped.length - 1]) move(mapped[0], false);
      p.setProps({ playing: !p.playing, ...(p.playing ? {} : { follow: false }) });
    };
    const label = p.follow && scene.words && scene.words.clock ? scene.words.clock : frames[p.value] ? frames[p.value].label : '--:--';
    const at = i => (last > 0 ? i / last * 100 : 0) + '%';
    const hours = frames.map((f, i) => [f.label, i]).filter(([text]) => text.endsWith(':00'));
    if (frames.length === 1) return null; /* a plan of one step has nothing to move through */
    return h('section', { id: p.id, className: 'timebar', 'aria-label': q.name },
      h('button', { type: 'button', className: 'btn play', onClick: N.togglePlay, 'aria-label': p.playing ? q.pause : q.play, disabled: !mapped.length }, h('i', { className: p.playing ? 'pause' : 'go' })),
      h('output', { className: 'clock', htmlFor: p.id + '-range' }, label),
      h('div', { className: 'track' },
        h('div', { className: 'rail' }, frames.map((f, i) => f.version ? h('i', { key: i, className: f.ends ? 'ends' : undefined, style: { left: `calc(${at(i)} - ${50 / Math.max(1, last)}%)`, width: `calc(${100 / Math.max(1, last)}% + 1px)` } }) : null)),
        h('input', { id: p.id + '-range', type: 'range', min: 0, max: Math.max(0, last), step: 1, value: p.value || 0, 'aria-label': q.name, 'aria-valuetext': label, disabled: !mapped.length, onChange: e => { const value = nearest(+e.target.value); if (value !== undefined) move(value, false); } }),
        (scene.journal || []).map((m, i) => h('button', { key: i, type: 'button', className: 'mark', style: { left: m.from * 100 + '%' }, title: m.text, 'aria-label': q.journal + ': ' + m.text, onClick: () => tell(told === m.text ? '' : m.text) })),
        h('div', { className: 'hours', 'aria-hidden': 'true' }, hours.map(([text, i]) => h('span', { key: i, style: { left: at(i) } }, text)))),
      scene.live !== null && scene.live !== undefined ? h('button', { type: 'button', className: p.follow ? 'btn now on' : 'btn now', 'aria-pressed': !!p.follow, onClick: () => move(newest, true) }, h('i', null), p.follow ? q.live : q.follow) : null,
      told ? h('p', { className: 'told', role: 'status' }, told) : null);
  };

  document.addEventListener('keydown', e => {
    const free = e.target === document.body || (e.target.classList && e.target.classList.contains('map'));
    if (e.key === ' ' && free && N.togglePlay) { e.preventDefault(); N.togglePlay(); }
    if (e.key === 'Escape' && !document.querySelector('dialog[open]')) { const close = ['places-close', 'close'].map(id => document.getElementById(id)).find(one => one && one.offsetParent); if (close) close.click(); }
  });

  /* Server-sent events say that something changed; the scene is then asked for. After two failures we ask every five
     seconds instead, and say so, and try the stream again every half minute. It begins with what stands: a scene of another
     state is asked for anew, so that no change falls between the two. */
  N.Follow = p => {
    const now = R.useRef(p); now.current = p;
    const [saving, save] = R.useState(N.kept('saving') === '1');
    N.saving = saving; N.save = on => { N.keep('saving', on ? '1' : ''); save(on); };
    R.useEffect(() => {
      let over = false, source = null, failures = 0, poll = 0, retry = 0, asking = false, again = false, line = '', lost = false, stands = '', seen = '', let_go = () => 0;
      /* Tabs of a browser share one stream: who holds the lock listens and tells the others, who take over when it closes. */
      const locks = navigator.locks, tabs = locks && window.BroadcastChannel ? new BroadcastChannel('noctule-events') : null, stop = new AbortController();
      const show = () => { const text = lost ? 'reconnecting' : line; if (!over && (now.current.trouble || '') !== text) now.current.setProps({ trouble: text }); };
      const tell = text => { line = text; show(); if (tabs && source !== null) tabs.postMessage({ line }); };
      const ask = () => {
        if (asking) { again = true; return; }
        asking = true;
        fetch(p.url).then(r => (r.ok ? r.json() : Promise.reject(r.status))).then(scene => {
          const back = lost;
          lost = false; show();
          if (!over) { N.sceneAt = performance.now(); seen = scene.standing; now.current.setProps({ scene }); }
          again = again || (!!stands && stands !== seen); stands = '';
          if (back && poll && source === false) { clearTimeout(retry); listen(); }
        }).catch(() => { lost = true; show(); }).finally(() => { asking = false; if (again) { again = false; ask(); } });
      };
      const hear = event => {
        if (event.layer === 'standing') { if (!seen) stands = event.version; else if (p.live && seen !== event.version) ask(); return; }
        N.eventAt = performance.now(); N.lastEvent = event; ask(); window.dispatchEvent(new Event('noctule-news'));
      };
      /* `source` is false between two tries, and null in a tab that leaves listening to another. */
      const listen = late => {
        N.streams = (N.streams || 0) + 1;
        source = new EventSource('/live/events');
        source.onopen = () => { const back = late || failures > 0 || poll; failures = 0; clearInterval(poll); poll = 0; lost = false; tell(''); if (back) { ask(); if (tabs) tabs.postMessage({ back: 1 }); } };
        source.onmessage = e => { const event = JSON.parse(e.data); hear(event); if (tabs) tabs.postMessage({ event }); };
        source.onerror = () => {
          failures += 1;
          if (failures < 2) { tell('reconnecting'); return; }
          source.close(); source = false;
          tell('polling');
          if (!poll) poll = setInterval(() => { ask(); if (tabs) tabs.postMessage({ back: 1 }); }, 5000);
          clearTimeout(retry); retry = setTimeout(listen, 30000);
        };
      };
      N.lookAgain = ask;
      ask();
      if (saving) tell('saving');
      else if (!tabs) listen();
      else {
        const began = performance.now();
        tabs.onmessage = ({ data }) => { if (data.event) hear(data.event); else if (data.back) ask(); else { line = data.line; show(); } };
        locks.request('noctule-events', { signal: stop.signal }, () => { if (!over) listen(performance.now() - began > 1000); return new Promise(done => { let_go = done; }); }).catch(() => 0);
      }
      return () => { over = true; stop.abort(); let_go(); if (tabs) tabs.close(); if (source) source.close(); clearInterval(poll); clearTimeout(retry); };
    }, [p.url, saving]);
    return null;
  };
})();
