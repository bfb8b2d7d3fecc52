export async function decide(): Promise<number> {
  return await Promise.resolve(1);
}
