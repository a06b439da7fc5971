interface Placed {
  id: string
  position: string
}

/**
 * The order all clients agree on: position, then id, compared byte by byte.
 *
 * Both are ASCII, for which `<` compares bytes; `localeCompare` would put "a0" before "B0".
 */
export function byPosition(a: Placed, b: Placed): number {
  if (a.position !== b.position) return a.position < b.position ? -1 : 1
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  return 0
}
