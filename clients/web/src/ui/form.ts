import { html, nothing, type ReactiveController, type ReactiveControllerHost, type TemplateResult } from 'lit'
import { ifDefined } from 'lit/directives/if-defined.js'

import { Refused, sentence, span, whyNot, type WireError } from '../errors'
import { PasskeyGivenUp } from '../passkey'
import { SessionEnded } from '../session'

/** What to say of a refusal: one line, or a line for each field; undefined for the usual words. */
export type Words = (error: WireError) => string | Record<string, string> | undefined
export type Values = Record<string, string>

/** The person thought better of it: nothing to say. */
export class Cancelled extends Error {}

let forms = 0

/** The life of one form: busy, refused with reasons beside their fields, told to wait, done. */
export class Form implements ReactiveController {
  busy = false
  /** Said when it went well. */
  done = ''
  #problem = ''
  #errors: Record<string, string> = {}
  #shown = new Set<string>()
  #until = 0
  #clock: ReturnType<typeof setInterval> | undefined
  readonly #id = `form${forms++}`

  constructor(
    readonly host: ReactiveControllerHost & HTMLElement,
    readonly words: Words = () => undefined,
  ) {
    host.addController(this)
  }

  hostDisconnected(): void {
    clearInterval(this.#clock)
  }

  /** Send a form's values; what is refused gets the focus. */
  async submit(event: SubmitEvent, work: (values: Values, form: HTMLFormElement) => Promise<string | void>): Promise<void> {
    event.preventDefault()
    const form = event.target as HTMLFormElement
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]))
    await this.run(() => work(values, form))
    await this.host.updateComplete
    form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus()
  }

  /** Do one thing; what it returns is said as done. False when it was refused. */
  async run(work: () => Promise<string | void>): Promise<boolean> {
    if (this.busy) return false
    Object.assign(this, { busy: true, done: '' })
    this.#say('')
    try {
      this.done = (await work()) ?? ''
      return true
    } catch (error) {
      this.#refused(error)
      return false
    } finally {
      this.busy = false
      this.host.requestUpdate()
    }
  }

  /** Read something, whatever else is under way; only a failure is said. */
  async read(work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => this.#refused(error))
    this.host.requestUpdate()
  }

  /** How long the server wants to be left alone (seconds). */
  get wait(): number {
    return Math.max(0, (this.#until - Date.now()) / 1000)
  }

  get off(): boolean {
    return this.busy || this.wait > 0
  }

  /** A labelled input with what is wrong with it below. */
  field(name: string, label: string, input: Input = {}): TemplateResult {
    this.#shown.add(name)
    const error = this.#errors[name]
    const about = [input.hint && `${this.#id}-${name}-hint`, error && `${this.#id}-${name}-error`].filter(Boolean).join(' ')
    return html`<div class="form-field">
      <label for="${this.#id}-${name}">${label}</label>
      ${this.#input(name, input, about, Boolean(error))}
      ${input.hint ? html`<p class="field-hint" id="${this.#id}-${name}-hint">${input.hint}</p>` : nothing}
      ${error ? html`<p class="field-error" id="${this.#id}-${name}-error">${error}</p>` : nothing}
    </div>`
  }

  /** What became of it, read out by screen readers. */
  said(): TemplateResult {
    const problem = this.wait > 0 ? `Too many tries. You can try again in ${span(this.wait)}.` : this.#problem
    return html`<div class="said" aria-live="polite">
      ${problem ? html`<p class="problem" role="alert">${problem}</p>` : nothing}
      ${this.done ? html`<p class="done">${this.done}</p>` : nothing}
    </div>`
  }

  #input(name: string, { choices, value, hint: _, ...rest }: Input, about: string, wrong: boolean): TemplateResult {
    const invalid = wrong ? 'true' : undefined
    const described = about || undefined
    if (choices) {
      return html`<select id="${this.#id}-${name}" name=${name} aria-invalid=${ifDefined(invalid)} aria-describedby=${ifDefined(described)} @change=${rest.change}>
        ${choices.map((choice) => html`<option value=${choice.value} ?selected=${choice.value === value}>${choice.label}</option>`)}
      </select>`
    }
    return html`<input
      id="${this.#id}-${name}"
      name=${name}
      type=${rest.type ?? 'text'}
      autocomplete=${ifDefined(rest.autocomplete)}
      inputmode=${ifDefined(rest.inputmode)}
      maxlength=${ifDefined(rest.maxlength)}
      placeholder=${ifDefined(rest.placeholder)}
      min=${ifDefined(rest.min)}
      ?required=${rest.required ?? false}
      ?readonly=${rest.readonly ?? false}
      value=${ifDefined(value)}
      aria-invalid=${ifDefined(invalid)}
      aria-describedby=${ifDefined(described)}
    />`
  }

  #refused(error: unknown): void {
    if (error instanceof Cancelled) return
    if (error instanceof SessionEnded) {
      this.host.dispatchEvent(new CustomEvent('session-ended', { bubbles: true, detail: error.message }))
      return
    }
    if (error instanceof PasskeyGivenUp) return this.#say(error.message)
    if (!(error instanceof Refused)) return this.#say('The server cannot be reached. Please try again in a moment.')
    const wire = error.error
    if (wire.code === 'RATE_LIMITED') return this.#pause(wire.retry_after ?? 1)
    const said = this.words(wire) ?? besideFields(wire, this.#shown) ?? whyNot(wire)
    if (typeof said === 'string') this.#say(said)
    else this.#errors = said
  }

  #say(problem: string): void {
    this.#problem = problem
    this.#errors = {}
    this.host.requestUpdate()
  }

  #pause(seconds: number): void {
    this.#until = Date.now() + seconds * 1000
    clearInterval(this.#clock)
    this.#clock = setInterval(() => {
      if (this.wait === 0) clearInterval(this.#clock)
      this.host.requestUpdate()
    }, 1_000)
  }
}

export interface Input {
  type?: string
  value?: string
  hint?: string
  autocomplete?: AutoFill
  inputmode?: 'numeric' | 'text'
  maxlength?: number
  placeholder?: string
  min?: string
  required?: boolean
  readonly?: boolean
  /** Instead of an input: one of these. */
  choices?: { value: string; label: string }[]
  change?: (event: Event) => void
}

/** The server's words for each field, if all of those fields are on the form. */
export function besideFields(error: WireError, shown: Set<string>): Record<string, string> | undefined {
  const fields = Object.entries(error.field_errors ?? {})
  if (!fields.length || fields.some(([name]) => !shown.has(name))) return undefined
  return Object.fromEntries(fields.map(([name, reasons]) => [name, sentence(reasons.join(', '))]))
}
