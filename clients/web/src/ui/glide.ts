const GLIDE_MS = 240
/** Beyond this many cards measuring them costs more than the eye gains. */
const MOST = 200

/** Lets cards glide from where they were to where they are, when a redraw has moved them. */
export class Glide {
  #before = new Map<string, { list: Element | null; box: DOMRect }>()

  /** Before the redraw. */
  measure(root: HTMLElement): void {
    this.#before.clear()
    const cards = root.querySelectorAll<HTMLElement>('.card')
    if (cards.length > MOST || matchMedia('(prefers-reduced-motion: reduce)').matches) return
    for (const card of cards) this.#before.set(card.dataset.task!, { list: card.parentElement, box: card.getBoundingClientRect() })
  }

  /** After the redraw. */
  play(root: HTMLElement): void {
    if (!this.#before.size) return
    for (const card of root.querySelectorAll<HTMLElement>('.card')) {
      const before = this.#before.get(card.dataset.task!)
      // A card from another list would be cut off at the edge of its own: it fades in instead.
      if (before?.list !== card.parentElement) appear(card)
      else slide(card, before.box)
    }
    this.#before.clear()
  }
}

function slide(card: HTMLElement, from: DOMRect): void {
  const dy = from.top - card.getBoundingClientRect().top
  if (Math.abs(dy) < 1) return
  card.animate([{ transform: `translateY(${dy}px)` }, { transform: 'none' }], { duration: GLIDE_MS, easing: 'cubic-bezier(.2,.8,.2,1)' })
}

function appear(card: HTMLElement): void {
  card.animate([{ opacity: 0, transform: 'scale(.96)' }, { opacity: 1, transform: 'none' }], { duration: GLIDE_MS, easing: 'ease-out' })
}
