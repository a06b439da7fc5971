import type { WireError } from './errors'

/** What to tell somebody who is put out, and what she can do about it. */
export interface Farewell {
  title: string
  text: string
}

const PROJECT: Record<string, string> = {
  deleted: 'This project has been deleted.',
  revoked: 'You no longer have access to this project.',
  expired: 'Your access to this project has expired.',
  inactive: 'The team of this project is out of use at the moment.',
  suspended: 'The team of this project is suspended.',
}

const TENANT: Record<string, Farewell> = {
  tenant_suspended: {
    title: 'This team is suspended',
    text: 'Nobody can work in it for now. Nothing is lost, and this page goes on by itself when it is back.',
  },
  tenant_inactive: {
    title: 'This team is out of use',
    text: 'Its owner can put it back into use. Nothing is lost, and this page goes on by itself then.',
  },
  tenant_deleted: {
    title: 'This team has been deleted',
    text: 'Its owner can bring it back for a while.',
  },
  second_factor_required: {
    title: 'This team asks for a second factor',
    text: 'You are signed in with one proof. Set up an authenticator app or a passkey, or use the one you have, and you can go on.',
  },
  sso_required: {
    title: 'This team has its own sign-in',
    text: 'Please sign out, and sign in again by the way of your company.',
  },
}

export function projectClosed(reason: string): string {
  return PROJECT[reason] ?? 'There is no such project, or it is not shared with you.'
}

/** Why nobody is let in at the moment. */
export function barredBy(error: WireError): Farewell {
  return TENANT[String(error.details?.reason ?? '')] ?? { title: 'You cannot get in right now', text: `${error.message}.` }
}

/** The sign-in is over; `putOut` when the server has ended it while the page was open. */
export function sessionOver(putOut: boolean): string {
  return putOut
    ? 'You have been signed out here, from another window or device. Please sign in again.'
    : 'Your session has ended. Please sign in again.'
}

/** The membership is over, and one is somewhere else now, or nowhere. */
export function movedAway(from: string, to: string | null): string {
  const over = `You are no longer a member of ${from}.`
  return to ? `${over} This is ${to} now.` : over
}
