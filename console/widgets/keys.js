// Keys that go to pages, without a word to the server. Not while someone types, nor with a modifier held.
(() => {
  const PLACES = { f: "/", i: "/incidents", r: "/runs", c: "/control", s: "/sql" };
  let wentAt = 0;
  const typing = (at) => at instanceof Element && at.closest("input, textarea, select, [contenteditable]:not([contenteditable=false]), .cm-editor");
  const search = () => document.querySelector("[data-search]:is(input), [data-search] input, main input[type=search], .rw-main input:not([type=checkbox]):not([readonly])");
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (typing(event.target) || document.querySelector(".q-dialog")) return;
    const toGo = Date.now() - wentAt < 1500;
    wentAt = 0;
    if (toGo && PLACES[event.key]) {
      event.preventDefault();
      location.assign(PLACES[event.key]);
    } else if (event.key === "g") {
      wentAt = Date.now();
    } else if (event.key === "/" && search()) {
      event.preventDefault();
      search().focus();
    } else if (event.key === "?") {
      event.preventDefault();
      document.querySelector("[data-testid=shortcuts]")?.click();
    }
  });
  // A page whose session ended while it was asleep is not let in again: it would try to connect without end.
  setInterval(async () => {
    if (document.getElementById("popup")?.ariaHidden !== "false") return;
    const answer = await fetch("/api/session").catch(() => null);
    if (answer?.status === 401) window.rwLeave();
  }, 5000);
  window.rwLeave = () => location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
})();
