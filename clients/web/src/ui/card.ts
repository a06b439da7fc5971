import { html, nothing, type TemplateResult } from 'lit'

import type { Label, Member, Priority } from '../entities'
import type { Card, Lane } from '../lanes'
import type { Present } from '../presence'
import { avatar } from './avatar'
import { dueOf } from './due'
import { bars, branch, bubble, calendar, hourglass, lines, ticked } from './icons'

export interface CardContext {
  members: Map<string, Member>
  /** Who else has which task open. */
  viewers: Map<string, Present[]>
  /** Who has just changed which task. */
  marks: Map<string, { id: string; name: string }>
  labels: Map<string, Label>
  /** Task -> how many open tasks it waits for. */
  waits: Map<string, number>
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
const TAGS = 3

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
    ${marksOf(card, context.labels)}
    ${foot(card, lane, context)}
    ${mark ? html`<span class="mark-name">${mark.name}</span>` : nothing}
  </li>`
}

function foot(card: Card, lane: Lane, { members, waits }: CardContext): TemplateResult {
  const priority = card.priority ? PRIORITY[card.priority] : null
  const done = lane.category === 'done' || lane.category === 'cancelled'
  const due = card.due_at ? dueOf(card.due_at, done) : null
  const people = card.assignee_ids ?? []
  const waitsFor = done ? 0 : (waits.get(card.id) ?? 0)
  return html`<div class="card-foot">
    ${priority ? html`<span class="priority ${card.priority}" title="${priority.name} priority">${bars(priority.bars)}<span class="unseen">${priority.name} priority</span></span>` : nothing}
    ${due ? html`<span class="due ${due.state}" title=${due.state === 'overdue' ? 'Overdue' : 'Due'}>${calendar}${due.text}</span>` : nothing}
    ${card.description ? html`<span class="has-text" title="Has a description">${lines}</span>` : nothing}
    ${share(card.subtask_done, card.subtask_total, 'subtasks', branch)} ${share(card.checklist_done, card.checklist_total, 'items', ticked)}
    ${card.comment_count ? html`<span class="sum" title=${counted(card.comment_count, 'comment')}>${bubble}${card.comment_count}</span>` : nothing}
    ${waitsFor ? html`<span class="sum blocked" title="Waits for ${counted(waitsFor, 'open card')}">${hourglass}<span class="unseen">Waits for </span>${waitsFor}</span>` : nothing}
    <span class="assignees">
      ${people.slice(0, FACES).map((id) => avatar({ id, name: members.get(id)?.name ?? '' }))}
      ${people.length > FACES ? html`<span class="avatar more">+${people.length - FACES}</span>` : nothing}
    </span>
  </div>`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function marksOf(card: Card, known: Map<string, Label>): TemplateResult | typeof nothing {
  const labels = (card.label_ids ?? []).flatMap((id) => known.get(id) ?? [])
  const tags = card.tags ?? []
  if (!labels.length && !tags.length) return nothing
  const shown = tags.length > TAGS ? [...tags.slice(0, TAGS), `+${tags.length - TAGS}`] : tags
  return html`<span class="tags">${labels.map(labelView)} ${shown.map((tag) => html`<span class="tag">${tag}</span>`)}</span>`
}

export function labelView({ name, colour }: Label): TemplateResult {
  return html`<span class="label" style="--label:${colour}">${name}</span>`
}

function share(done = 0, total = 0, of: string, icon: TemplateResult): TemplateResult | typeof nothing {
  if (!total) return nothing
  return html`<span class="sum ${done === total ? 'all' : ''}" title="${done} of ${total} ${of} done">${icon}${done}/${total}</span>`
}
