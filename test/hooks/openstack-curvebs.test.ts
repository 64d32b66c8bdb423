// OpenStack's invocations with pools on CurveBS.
import {openstackTests} from './openstack.js';

openstackTests('curvebs');
