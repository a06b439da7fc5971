import { defineConfig } from 'vitest/config'

const server = process.env.ATRIUM_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  // The server's content security policy allows files from itself only, so nothing is inlined.
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ['index.html', 'docs.html'] },
    // Swagger UI, on the page of the docs alone, is one file of 1.5 MB.
    chunkSizeWarningLimit: 2000,
  },
  server: { proxy: { '/api': server, '/socket.io': { target: server, ws: true } } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
})
