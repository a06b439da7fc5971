import { html, nothing, type TemplateResult } from 'lit'

import type { Member, Priority } from '../entities'
import type { Card, Lane } from '../lanes'
import type { Present } from '../presence'
import { avatar } from './avatar'
import { dueOf } from './due'
import { bars, calendar, lines } from './icons'

export interface CardContext {
  members: Map<string, Member>
  /** Who else has which task open. */
  viewers: Map<string, Present[]>
  /** Who has just changed which task. */
  marks: Map<string, { id: string; name: string }>
  opened: string | null
  movable: boolean
  open: (taskId: string) => void
}

export const PRIORITY: Record<Priority, { name: string; bars: number }> = {
  low: { name: 'Low', bars: 1 },
  medium: { name: 'Medium', bars: 2 },
  high: { name: 'High', bars: 3 },
  urgent: { name: 'Urgent', bars: 4 },
}
const FACES = 3

/** One card. The title is its button, stretched over all of it by the style sheet. */
export function cardView(card: Card, lane: Lane, context: CardContext): TemplateResult {
  const mark = context.marks.get(card.id)
  const viewers = context.viewers.get(card.id) ?? []
  const classes = ['card', card.waiting && 'waiting', mark && 'marked', context.opened === card.id && 'opened']
  return html`<li class=${classes.filter(Boolean).join(' ')} data-task=${card.id}>
    <div class="card-top">
      <span class="card-key">${card.key || 'Saving…'}</span>
      ${card.type && card.type !== 'task' ? html`<span class="chip ${card.type}">${card.type}</span>` : nothing}
      ${viewers.length ? html`<span class="viewers">${viewers.slice(0, FACES).map((one) => avatar(one, 'looking at this'))}</span>` : nothing}
    </div>
    <button
      class="card-open"
      aria-describedby=${context.movable ? 'card-keys' : nothing}
      aria-keyshortcuts=${context.movable ? 'Control+ArrowLeft Control+ArrowRight Control+ArrowUp Control+ArrowDown' : nothing}
      @click=${() => context.open(card.id)}
    >
      ${card.title}
    </button>
    ${foot(card, lane, context.members)}
    ${mark ? html`<span class="mark-name">${mark.name}</span>` : nothing}
  </li>`
}

function foot(card: Card, lane: Lane, members: Map<string, Member>): TemplateResult {
  const priority = card.priority ? PRIORITY[card.priority] : null
  const done = lane.category === 'done' || lane.category === 'cancelled'
  const due = card.due_at ? dueOf(card.due_at, done) : null
  const people = card.assignee_ids ?? []
  return html`<div class="card-foot">
    ${priority ? html`<span class="priority ${card.priority}" title="${priority.name} priority">${bars(priority.bars)}<span class="unseen">${priority.name} priority</span></span>` : nothing}
    ${due ? html`<span class="due ${due.state}" title=${due.state === 'overdue' ? 'Overdue' : 'Due'}>${calendar}${due.text}</span>` : nothing}
    ${card.description ? html`<span class="has-text" title="Has a description">${lines}</span>` : nothing}
    <span class="assignees">
      ${people.slice(0, FACES).map((id) => avatar({ id, name: members.get(id)?.name ?? '' }))}
      ${people.length > FACES ? html`<span class="avatar more">+${people.length - FACES}</span>` : nothing}
    </span>
  </div>`
}
