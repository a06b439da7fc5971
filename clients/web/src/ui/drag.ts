import Sortable from 'sortablejs'

export interface Dropped {
  taskId: string
  columnId: string
  /** Where it stands among the other cards of that column. */
  index: number
}

const TOUCH_HOLD_MS = 180
const SLIDE_MS = 160

/**
 * Dragging cards between lists by mouse or finger.
 *
 * Sortable moves elements by itself, which the renderer must not find out: on the drop the element
 * goes back to where it was, and the change is drawn from the data like any other.
 */
export class Drag {
  active = false
  readonly #lists = new Map<HTMLElement, Sortable>()
  #home: { parent: Node; next: Node | null } | null = null

  constructor(
    readonly dropped: (drop: Dropped) => void,
    readonly ended: () => void,
  ) {}

  /** Make these lists take part, and no others. */
  watch(lists: HTMLElement[], enabled: boolean): void {
    for (const [list, sortable] of this.#lists) {
      if (lists.includes(list)) sortable.option('disabled', !enabled)
      else this.#forget(list, sortable)
    }
    for (const list of lists) if (!this.#lists.has(list)) this.#lists.set(list, this.#sortable(list, enabled))
  }

  stop(): void {
    for (const [list, sortable] of this.#lists) this.#forget(list, sortable)
  }

  #forget(list: HTMLElement, sortable: Sortable): void {
    sortable.destroy()
    this.#lists.delete(list)
  }

  #sortable(list: HTMLElement, enabled: boolean): Sortable {
    return Sortable.create(list, {
      group: 'cards',
      draggable: '.card',
      disabled: !enabled,
      // Not the browser's own dragging: it cannot be styled and knows no touch.
      forceFallback: true,
      fallbackOnBody: true,
      fallbackTolerance: 5,
      delay: TOUCH_HOLD_MS,
      delayOnTouchOnly: true,
      touchStartThreshold: 5,
      animation: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : SLIDE_MS,
      ghostClass: 'slot',
      fallbackClass: 'lifted',
      scrollSensitivity: 60,
      scrollSpeed: 14,
      bubbleScroll: true,
      onStart: ({ item }) => {
        this.active = true
        document.documentElement.classList.add('dragging')
        this.#home = { parent: item.parentNode!, next: item.nextSibling }
      },
      onEnd: ({ item, from, to }) => {
        const cards = [...to.querySelectorAll<HTMLElement>(':scope > .card')]
        const index = cards.indexOf(item)
        const moved = from !== to || this.#home?.next !== item.nextSibling
        this.#home?.parent.insertBefore(item, this.#home.next)
        this.active = false
        document.documentElement.classList.remove('dragging')
        if (moved) this.dropped({ taskId: item.dataset.task!, columnId: to.dataset.column!, index })
        this.ended()
      },
    })
  }
}
