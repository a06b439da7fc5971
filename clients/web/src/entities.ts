/** What the page knows of the entities in a project's room. Fields the page does not read are left out. */
export interface Entity {
  id: string
}

export interface Project extends Entity {
  name: string
  key?: string
  description?: string | null
  status?: string
  archived?: boolean
}

export interface Board extends Entity {
  name: string
  project_id?: string
  position?: string
}

export interface Column extends Entity {
  board_id: string
  name: string
  position: string
  wip_limit: number | null
  status_ids?: string[]
}

export const PRIORITIES = ['low', 'medium', 'high', 'urgent'] as const
export type Priority = (typeof PRIORITIES)[number]

export interface Task extends Entity {
  key: string
  title: string
  description?: string | null
  type?: string
  priority?: Priority | null
  column_id: string | null
  status_id: string | null
  position: string
  version: number
  assignee_ids?: string[]
  tags?: string[]
  parent_id?: string | null
  due_at?: string | null
  comment_count?: number
  label_ids?: string[]
  watcher_ids?: string[]
  subtask_total?: number
  subtask_done?: number
  checklist_total?: number
  checklist_done?: number
}

export interface Label extends Entity {
  name: string
  colour: string
}

export interface Checklist extends Entity {
  task_id: string
  name: string
  position: string
}

export interface ChecklistItem extends Entity {
  checklist_id: string
  text: string
  position: string
  done_at: string | null
}

/** The task waits for the other one. */
export interface Dependency extends Entity {
  task_id: string
  depends_on_id: string
}

export interface Comment extends Entity {
  task_id: string
  author_id: string
  body: string
  created_at: string
  edited_at: string | null
}

export interface Member extends Entity {
  name: string
  role: string
  /** The role of the tenant's own that she has, of which `role` is the base. */
  role_id?: string | null
  kind?: 'person' | 'service'
  status?: string
  expires_at?: string | null
  joined_at?: string
}

export interface Status extends Entity {
  name: string
  category: 'backlog' | 'todo' | 'in_progress' | 'blocked' | 'done' | 'cancelled'
}

/** One numbered fact of a room, as it comes over the wire. */
export interface RoomEvent {
  room: string
  seq: number
  at: string
  actor: { id: string; name: string } | null
  command_id: string | null
  data: Record<string, unknown>
}
