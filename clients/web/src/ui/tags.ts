import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'

import { cross } from './icons'
import { LightElement } from './light'

/** The tags of a task, and a field for more. Fires `change-tags` with all that there are to be. */
@customElement('atrium-tags')
export class Tags extends LightElement {
  @property({ attribute: false }) tags: string[] = []
  @property({ type: Boolean }) mayEdit = false

  #add(input: HTMLInputElement): void {
    const tag = input.value.trim()
    input.value = ''
    if (tag && !this.tags.includes(tag)) this.#change([...this.tags, tag])
  }

  #change(tags: string[]): void {
    this.dispatchEvent(new CustomEvent('change-tags', { detail: tags }))
  }

  readonly #keys = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.isComposing) return
    event.preventDefault()
    this.#add(event.target as HTMLInputElement)
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.mayEdit && !this.tags.length) return nothing
    return html`<div class="field" role="group" aria-label="Tags">
      <span>Tags</span>
      <div class="tags">
        ${this.tags.map(
          (tag) => html`<span class="tag">${tag}
            ${this.mayEdit
              ? html`<button class="tag-off" aria-label="Remove the tag ${tag}" @click=${() => this.#change(this.tags.filter((other) => other !== tag))}>${cross}</button>`
              : nothing}
          </span>`,
        )}
        ${this.mayEdit
          ? html`<input class="tag-new" aria-label="New tag" placeholder="Add a tag" maxlength="50" autocomplete="off" @keydown=${this.#keys} @blur=${(event: Event) => this.#add(event.target as HTMLInputElement)} />`
          : nothing}
      </div>
    </div>`
  }
}
