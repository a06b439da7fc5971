import type { Entity, Member } from './entities'

/** From most to least, as the server orders them. */
export const ROLES = ['owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest'] as const
export type Role = (typeof ROLES)[number]

/** A role that the tenant has defined, standing in the order where its base stands. */
export interface CustomRole extends Entity {
  name: string
  base: Role
}

const MEANS: Record<Role, string> = {
  owner: 'everything',
  admin: 'everything but deleting the team',
  manager: 'projects and people',
  member: 'works on boards',
  viewer: 'sees all, changes nothing',
  client: 'sees what is shared, comments',
  guest: 'the same, until a day',
}

export interface Choice {
  value: string
  label: string
  /** What somebody in this role does, in a few words. */
  means?: string
}

/** The roles that somebody of this role may give; the server decides, this only spares hopeless tries. */
export function givable(mine: string, custom: CustomRole[] = []): Choice[] {
  const from = ROLES.indexOf(mine as Role)
  if (from < 0) return []
  const plain = ROLES.slice(from).map((role) => ({ value: role, label: nameOf(role), means: MEANS[role] }))
  const own = custom
    .filter((role) => ROLES.indexOf(role.base) >= from)
    .sort((a, b) => a.name.localeCompare(b.name))
    .map((role) => ({ value: role.id, label: role.name }))
  return [...plain, ...own]
}

/** What `member.update` is sent for a choice of that list. */
export function roleChange(value: string): { role: string } | { role_id: string } {
  return ROLES.includes(value as Role) ? { role: value } : { role_id: value }
}

export function roleName(member: Member, custom: CustomRole[]): string {
  return custom.find((role) => role.id === member.role_id)?.name ?? nameOf(member.role)
}

/** Whether somebody of this role may change that member: those above one are not one's to change. */
export function mayChange(mine: string, member: Member): boolean {
  return ROLES.indexOf(mine as Role) <= ROLES.indexOf(member.role as Role)
}

export function nameOf(role: string): string {
  return role.charAt(0).toUpperCase() + role.slice(1)
}
