// Before anything is drawn: light or dark as chosen here, else as the system is set.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = root.dataset.bsTheme || "";
  const follow = () => { root.dataset.bsTheme = system.matches ? "dark" : "light"; };
  if (!chosen) {
    root.dataset.themeFollows = "system";
    follow();
  }
  system.addEventListener("change", () => { if (root.dataset.themeFollows === "system") follow(); });
  root.classList.add("has-script");
})();
