import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'

import type { Project } from '../entities'
import { plus } from './icons'
import { LightElement } from './light'
import { hashOf } from './route'

/** The projects that one may see. Fires `create-project` with a name. */
@customElement('atrium-projects')
export class Projects extends LightElement {
  @property({ attribute: false }) projects: Project[] | null = null
  @property({ type: Boolean }) mayCreate = false

  #create(event: SubmitEvent): void {
    event.preventDefault()
    const form = event.target as HTMLFormElement
    const name = String(new FormData(form).get('name')).trim()
    if (!name) return
    form.reset()
    this.dispatchEvent(new CustomEvent('create-project', { detail: name }))
  }

  protected override render(): TemplateResult {
    const projects = this.projects?.filter(isWorkedOn).sort((a, b) => a.name.localeCompare(b.name))
    return html`<main class="projects">
      <h1>Projects</h1>
      ${projects?.length === 0 ? html`<p class="empty">There is no project here yet.</p>` : nothing}
      <ul class="tiles" aria-busy=${projects === undefined}>
        ${projects ? repeat(projects, (project) => project.id, tile) : [1, 2, 3].map(() => html`<li class="tile bones"></li>`)}
        ${projects && this.mayCreate ? this.#form() : nothing}
      </ul>
    </main>`
  }

  #form(): TemplateResult {
    return html`<li class="tile new">
      <form @submit=${this.#create}>
        <input name="name" aria-label="Name of the new project" placeholder="New project" autocomplete="off" maxlength="200" required />
        <button class="primary icon-only" aria-label="Create project">${plus}</button>
      </form>
    </li>`
  }
}

/** Neither put away nor there to be copied. */
function isWorkedOn({ archived_at, type }: Project): boolean {
  return !archived_at && type !== 'template'
}

function tile(project: Project): TemplateResult {
  return html`<li>
    <a class="tile" href=${hashOf({ project: project.id })}>
      ${project.key ? html`<span class="project-key">${project.key}</span>` : nothing}
      <span class="tile-name">${project.name}</span>
      ${project.description ? html`<span class="tile-text">${project.description}</span>` : nothing}
      ${project.progress ? html`<progress max="100" value=${project.progress} title="${project.progress} % done"></progress>` : nothing}
      ${project.status && project.status !== 'active' ? html`<span class="chip">${project.status.replace('_', ' ')}</span>` : nothing}
    </a>
  </li>`
}
