// What is left until a time, told in the browser: the server need not say so each second.
(() => {
  const two = (n) => String(n).padStart(2, "0");
  const left = (until) => {
    const s = Math.max(0, Math.round((until - Date.now()) / 1000));
    if (s >= 86400) return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
    if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
    return s >= 60 ? `${Math.floor(s / 60)} min ${two(s % 60)} s` : `${s} s`;
  };
  setInterval(() => {
    for (const place of document.querySelectorAll("[data-until]")) {
      const text = left(Number(place.dataset.until));
      if (place.textContent !== text) place.textContent = text;
    }
  }, 500);
})();
