export type Theme = 'light' | 'dark' | 'auto'

/** Light or dark as one has chosen; `auto` leaves it to the device. */
export function applyTheme(theme: Theme, root: HTMLElement = document.documentElement): void {
  if (theme === 'auto') delete root.dataset.theme
  else root.dataset.theme = theme
}
