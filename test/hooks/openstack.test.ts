// OpenStack's invocations with pools on local files.
import {openstackTests} from './openstack.js';

openstackTests('local');
