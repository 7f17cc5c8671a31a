// Runs before the first paint, so that a remembered theme does not flash the other one first.
// Served as immutable: give the file a new number when you change it.
try {
  const theme = localStorage.getItem("weir.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // No storage (private mode, sandboxed iframe): the system's preference decides.
}
