export function bind(): void {
  Promise.resolve(1);
}
