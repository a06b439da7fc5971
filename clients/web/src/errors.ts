/** The error half of the server's envelope. */
export interface WireError {
  code: string
  message: string
  details?: Record<string, unknown>
  field_errors?: Record<string, string[]>
  retry_after?: number
}

interface Meta {
  room?: string
  seq?: number
  duplicate?: boolean
  pagination?: { next: string | null }
}

export type Reply =
  | { success: true; data: Record<string, unknown>; meta?: Meta }
  | { success: false; error: WireError; request_id?: string }

/** The server said no. */
export class Refused extends Error {
  constructor(
    readonly error: WireError,
    readonly requestId?: string,
  ) {
    super(error.message)
  }
}

/** What to tell the reader when what they were doing was refused; `doing` is e.g. "move the card". */
export function inPlainWords(error: WireError, doing: string, requestId?: string): string {
  const lead = `Could not ${doing}. `
  switch (error.code) {
    case 'FORBIDDEN':
      return `${lead}Your role does not allow it.`
    case 'NOT_FOUND':
      return `${lead}It is no longer there.`
    case 'RATE_LIMITED':
      return `${lead}That was a lot at once; please wait a moment.`
    case 'UNAVAILABLE':
      return `${lead}The server is busy; please try again in a moment.`
    case 'INTERNAL':
      return `${lead}Something went wrong on the server${requestId ? ` (${requestId})` : ''}.`
    case 'VALIDATION_ERROR': {
      const field = Object.entries(error.field_errors ?? {})[0]
      return lead + (field ? sentence(`${field[0].replaceAll('_', ' ')}: ${field[1].join(', ')}`) : sentence(error.message))
    }
    default:
      return lead + sentence(error.message)
  }
}

export function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(start) ? start : `${start}.`
}

/** A pause as one says it: `42 seconds`, `3 minutes`; minutes are rounded up, so that nobody comes too early. */
export function span(seconds: number): string {
  const [count, unit] = seconds > 90 ? [Math.ceil(seconds / 60), 'minute'] : [Math.max(1, Math.ceil(seconds)), 'second']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** Why a form was refused, where nothing better is known. */
export function whyNot(error: WireError): string {
  switch (error.code) {
    case 'UNAVAILABLE':
      return 'The server cannot be reached. Please try again in a moment.'
    case 'INTERNAL':
      return 'Something went wrong on the server. Please try again.'
    case 'NOT_FOUND':
      return 'It is no longer there.'
    case 'VALIDATION_ERROR': {
      const field = Object.entries(error.field_errors ?? {})[0]
      return sentence(field ? `${field[0].replaceAll('_', ' ')} ${field[1].join(', ')}` : error.message)
    }
    default:
      return sentence(error.message)
  }
}

/** The short name of the reason that a refusal gives. */
export function reasonOf(error: unknown): string {
  return error instanceof Refused ? String(error.error.details?.reason ?? '') : ''
}
