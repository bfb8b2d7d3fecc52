/** A store whose watch can be held back, ended, and counted: for tests of what a lagging cache may say. */
import type { Store, StoreChange, WatchEnd, WatchOptions } from "@pilothouse/store";

export function heldWatch(store: Store) {
  const held: (readonly StoreChange[])[] = [];
  const state = { holds: false, reconnects: 0, end: (_cause: WatchEnd): void => undefined };
  let deliver = (_changes: readonly StoreChange[]): void => undefined;
  const wrapped: Store = {
    ...store,
    watch: (options: WatchOptions) => {
      // What is held belongs to the watch before.
      held.length = 0;
      deliver = (changes) => options.onChanges(changes);
      state.end = (end) => options.onEnd(end);
      const watch = store.watch({
        ...options,
        onChanges: (changes) => (state.holds ? void held.push(changes) : options.onChanges(changes)),
      });
      return { close: () => watch.close(), reconnect: () => void state.reconnects++ };
    },
  };
  const release = (): void => {
    state.holds = false;
    for (const changes of held.splice(0)) deliver(changes);
  };
  return { wrapped, state, release };
}
