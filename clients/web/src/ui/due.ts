const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const SOON_MS = 48 * 60 * 60 * 1000

export interface Due {
  text: string
  state: 'overdue' | 'soon' | 'later'
}

/** A due date for reading; what is done cannot be late. */
export function dueOf(at: string, done: boolean, now = Date.now()): Due {
  const time = new Date(at).getTime()
  const state = done ? 'later' : time < now ? 'overdue' : time - now < SOON_MS ? 'soon' : 'later'
  return { text: DAY.format(time), state }
}

/** The day of a moment, as a date field has it. */
export function dayOf(at: string | null | undefined): string {
  if (!at) return ''
  const date = new Date(at)
  const pad = (part: number): string => String(part).padStart(2, '0')
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
}

/** What is due on a day is due when the day ends where the reader is. */
export function endOf(day: string): string | null {
  return day ? new Date(`${day}T23:59:00`).toISOString() : null
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

export function dateOf(at: string): string {
  return DATE.format(new Date(at))
}

export function momentOf(at: string): string {
  return MOMENT.format(new Date(at))
}
