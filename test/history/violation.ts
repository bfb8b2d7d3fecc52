/** A promise that a history breaks: which one, and how it shows. */
export interface Violation {
  readonly property: Property;
  readonly message: string;
}

export type Property =
  /** Some order of the requests about an object, each between its call and its answer, explains every answer. */
  | "Linearizable"
  /** No order was found in the steps allowed: nothing is known. */
  | "Undecided"
  /** A write acknowledged before another began has the smaller resourceVersion; a list is not older than it. */
  | "RealTime"
  /** What was acknowledged is in the store's history as it was acknowledged. */
  | "Durable"
  /** What was surely refused is not in the store's history. */
  | "Refused"
  /** A write happens once, and only if somebody asked for it. */
  | "Once"
  /** A list is the state at its one revision. */
  | "Snapshot"
  | WatchProperty;

/** Etcd's nine, in Kubernetes' terms. */
export type WatchProperty =
  /** Events come in the order of their revisions. */
  | "Ordered"
  /** No event comes twice. */
  | "Unique"
  /** All events of one revision come together: neither a bookmark nor the stream's end parts them. */
  | "Atomic"
  /** No event between two that came is missing, none is made up, and each shows the object as it was. */
  | "Reliable"
  /** A watch from a revision begins with the first event after it. */
  | "Resumable"
  /** A bookmark comes after all events up to its revision. */
  | "Bookmarkable"
  /** DELETED carries the last object that the watcher could see, at the revision by which it went. */
  | "PreviousObject"
  /** ADDED if and only if the object was not in view before. */
  | "IsCreate"
  /** Only what the selection matches is shown. */
  | "Filter"
  /** What a watch shows first is the state at one revision, as new as was asked for. */
  | "InitialState";
