import { html, nothing, type TemplateResult } from 'lit'
import { repeat } from 'lit/directives/repeat.js'

import type { Lane } from '../lanes'
import { cardView, type CardContext } from './card'
import { plus } from './icons'

export interface LaneContext extends CardContext {
  mayCreate: boolean
  mayShape: boolean
  /** The column whose limit, or new card, is being typed. */
  limiting: string | null
  composing: string | null
  /** The column goes on beyond what was loaded. */
  more: boolean
  limit: (columnId: string | null) => void
  setLimit: (columnId: string, limit: number | null) => void
  compose: (columnId: string | null) => void
  add: (columnId: string, title: string) => void
  widen: () => void
}

export function laneView(lane: Lane, context: LaneContext): TemplateResult {
  const { column, cards } = lane
  const full = column.wip_limit !== null && cards.length >= column.wip_limit
  const title = `column-${column.id}`
  return html`<section class="lane ${full ? 'full' : ''} ${lane.unborn ? 'waiting' : ''}" aria-labelledby=${title}>
    <header class="lane-head">
      <span class="lane-dot ${lane.category ?? ''}"></span>
      <h2 id=${title}>${column.name}</h2>
      ${context.limiting === column.id ? limitForm(lane, context) : count(lane, full, context)}
    </header>
    <ol class="cards" data-column=${column.id}>
      ${repeat(cards, (card) => card.id, (card) => cardView(card, lane, context))}
    </ol>
    ${context.more ? html`<button class="quiet more-cards" @click=${context.widen}>Show more</button>` : nothing}
    ${context.mayCreate && !lane.unborn ? composer(lane, context) : nothing}
  </section>`
}

function count({ column, cards }: Lane, full: boolean, context: LaneContext): TemplateResult {
  const held = context.more ? `${cards.length}+` : String(cards.length)
  const text = column.wip_limit === null ? held : `${held}/${column.wip_limit}`
  const words = column.wip_limit === null ? `${held} cards` : `${held} of at most ${column.wip_limit} cards`
  const name = full ? `${words}, full` : words
  if (!context.mayShape) return html`<span class="count" title=${name} role="img" aria-label=${name}>${text}</span>`
  return html`<button class="count" title="${name}. Set a limit" aria-label="${name}. Set a limit" @click=${() => context.limit(column.id)}>
    ${text}
  </button>`
}

function limitForm({ column }: Lane, context: LaneContext): TemplateResult {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const typed = String(new FormData(event.target as HTMLFormElement).get('limit')).trim()
    context.setLimit(column.id, typed ? Number(typed) : null)
  }
  return html`<form class="limit-form" @submit=${submit} @keydown=${onEscape(() => context.limit(null))}>
    <label>
      Limit
      <input name="limit" type="number" min="1" max="999" placeholder="none" .value=${String(column.wip_limit ?? '')} autofocus />
    </label>
    <button class="primary small">Set</button>
  </form>`
}

function composer({ column }: Lane, context: LaneContext): TemplateResult {
  if (context.composing !== column.id) {
    return html`<button class="quiet add-card" @click=${() => context.compose(column.id)}>${plus} Add a card</button>`
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    const field = (event.currentTarget as HTMLElement).closest('form')!.querySelector('textarea')!
    const title = field.value.trim()
    field.value = ''
    if (title) context.add(column.id, title)
  }
  const keys = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event)
    if (event.key === 'Escape') context.compose(null)
  }
  return html`<form class="composer" @submit=${submit}>
    <textarea aria-label="Title of the new card in ${column.name}" placeholder="What is to be done?" rows="2" maxlength="500" autofocus @keydown=${keys}></textarea>
    <div>
      <button class="primary small">Add</button>
      <button class="quiet small" type="button" @click=${() => context.compose(null)}>Close</button>
    </div>
  </form>`
}

function onEscape(run: () => void): (event: KeyboardEvent) => void {
  return (event) => {
    if (event.key === 'Escape') run()
  }
}
