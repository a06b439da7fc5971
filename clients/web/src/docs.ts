/** The interactive description of the API at /docs. */

// @ts-expect-error The bundle comes without types.
import SwaggerUI from 'swagger-ui-dist/swagger-ui-es-bundle.js'
import 'swagger-ui-dist/swagger-ui.css'

SwaggerUI({
  domNode: document.getElementById('docs'),
  url: '/api/v1/openapi.json',
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: 'list',
  filter: true,
  // The stock setting sends the description to an outside host.
  validatorUrl: null,
})
