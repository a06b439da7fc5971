import { find, placeAt, type Lane, type Place } from '../lanes'

const STEPS: Record<string, { lane: number; card: number }> = {
  ArrowLeft: { lane: -1, card: 0 },
  ArrowRight: { lane: 1, card: 0 },
  ArrowUp: { lane: 0, card: -1 },
  ArrowDown: { lane: 0, card: 1 },
}

/** The card that an arrow key leads to; empty columns are passed over. */
export function neighbour(lanes: Lane[], taskId: string, key: string): string | null {
  const step = STEPS[key]
  const from = find(lanes, taskId)
  if (!step || !from) return null
  if (step.card) return from.lane.cards[from.index + step.card]?.id ?? null
  for (let at = lanes.indexOf(from.lane) + step.lane; lanes[at]; at += step.lane) {
    const { cards } = lanes[at]!
    if (cards.length) return cards[Math.min(from.index, cards.length - 1)]!.id
  }
  return null
}

/** Where an arrow key with Control takes a card; null at the edge of the board. */
export function placeTowards(lanes: Lane[], taskId: string, key: string): { lane: Lane; place: Place; index: number } | null {
  const step = STEPS[key]
  const from = find(lanes, taskId)
  if (!step || !from) return null
  const lane = lanes[lanes.indexOf(from.lane) + step.lane]
  if (!lane) return null
  const others = lane.cards.filter((card) => card.id !== taskId)
  const index = step.card ? from.index + step.card : Math.min(from.index, others.length)
  if (index < 0 || index > others.length) return null
  return { lane, place: placeAt(lane.column.id, others, index), index }
}
