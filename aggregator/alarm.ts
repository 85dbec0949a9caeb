/** What must never happen and did, as a value: decisions return it, shells raise it. */
export interface Alarm {
  /** `hole`, `hash_differs`, `set_aside`, `position_lost`, … */
  readonly alarm: string;
  readonly subject: string;
  readonly messageId: string;
  readonly detail: string;
}
