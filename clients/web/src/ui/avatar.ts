import { html, type TemplateResult } from 'lit'

/** A person as a disc with initials. The hue follows from the name, so it is the same everywhere. */
export function avatar(person: { id: string; name: string }, note = ''): TemplateResult {
  const name = person.name || 'Somebody'
  const title = note ? `${name}, ${note}` : name
  return html`<span class="avatar" style="--hue:${hue(name)}" title=${title} role="img" aria-label=${title}
    >${initials(name)}</span
  >`
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  const letters = words.length > 1 ? [words[0]![0], words.at(-1)![0]] : [words[0]![0]]
  return letters.join('').toUpperCase()
}

function hue(name: string): number {
  let sum = 0
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 9973
  // Steps of 40 degrees keep two people's colours apart or the same, never almost the same.
  return (sum % 9) * 40 + 15
}
